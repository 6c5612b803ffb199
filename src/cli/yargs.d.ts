export type { Argv } from "yargs";

declare module "yargs" {
  // @types/yargs describes version 17
  interface Argv<T> {
    usageConfiguration(configuration: { "hide-types": boolean }): Argv<T>;
  }
}
