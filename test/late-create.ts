// Submits job 0001 of a folder and, at the moment given, stops itself as a suspended machine does.
import { systemClock } from "../src/clock.ts";
import { UserError } from "../src/errors.ts";
import { connectGemini } from "../src/gemini/client.ts";
import { openManifest } from "../src/jobs-folder/open.ts";
import type { Manifest } from "../src/manifest/manifest.ts";
import { keyIdOf } from "../src/settings/environment/secret.ts";
import { Secret } from "../src/settings/environment/secret.ts";
import { submitJob } from "../src/submit/submit-job.ts";

const [folder = "", baseUrl = "", apiKey = "", moment = ""] = process.argv.slice(2);

const manifest = await openManifest(folder, systemClock);
const stopping: Manifest = {
  ...manifest,
  recordIf: async (holds, event) => {
    const job = await manifest.recordIf(holds, event);
    if (event.type === "submitting") stopAt("after the intent");
    return job;
  },
};
const gemini = connectGemini({
  apiKey,
  baseUrl,
  fetch: (input, init) => {
    const { href } = new URL(input instanceof Request ? input.url : input);
    if (href.endsWith(":asyncBatchEmbedContent")) stopAt("as the request leaves");
    return fetch(input, init);
  },
});
const services = {
  gemini,
  manifest: stopping,
  report: () => {},
  clock: systemClock,
  signal: new AbortController().signal,
  keyId: keyIdOf(new Secret(apiKey)),
};
try {
  const { kind } = await submitJob(services, manifest.job("0001"));
  process.stdout.write(kind);
} catch (error) {
  process.stdout.write(error instanceof UserError ? error.exit : String(error));
}

function stopAt(here: string): void {
  if (moment === here) process.kill(process.pid, "SIGSTOP");
}
