// Opens the manifest in the folder given and holds it until the process is killed.
import { systemClock } from "../../src/clock.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";

await openManifest(process.argv[2] ?? "", systemClock);
process.stdout.write("held\n");
setInterval(() => {}, 1_000);
