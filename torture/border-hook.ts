import { registerHooks } from "node:module";

const SOURCE = new URL("../src/", import.meta.url).href;
const BORDERED = new URL("../test/faults/bordered-files.ts", import.meta.url).href;

/** From now on, what is loaded of src has its file system calls cross the border. */
export function borderSource(): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "node:fs/promises" && context.parentURL?.startsWith(SOURCE) === true
        ? next(BORDERED, context)
        : next(specifier, context),
  });
}
