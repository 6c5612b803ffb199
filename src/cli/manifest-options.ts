/** The option of `vecfill manifest`, by a flag alone. */
import { choice, named } from "../settings/option.ts";

export const MANIFEST_OPTIONS = named({
  to: choice({
    default: undefined,
    choices: ["folder", "postgres"],
    describe: "with move: where the manifest goes",
    group: "Jobs",
    commands: ["manifest"],
  }),
});
