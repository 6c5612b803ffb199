/** The option of `vecfill run`, by a flag alone. */
import { named, toggle } from "../settings/option.ts";

export const RUN_OPTIONS = named({
  detach: toggle({
    describe: "over a shared manifest: ask, and leave the work to its workers",
    group: "Jobs",
    commands: ["run"],
  }),
});
