import { UserError } from "../errors.ts";
import { MODELS } from "../row/models.ts";
import type { GeminiError, GeminiErrorKind } from "../gemini/port.ts";

/** What to do about it. */
const HINTS: Readonly<Record<GeminiErrorKind, string>> = {
  key: "Check GEMINI_API_KEY, or VECFILL_KEY_<NAME> of a project: `vecfill doctor` tries each. Keys are made at https://aistudio.google.com/apikey; batches need one whose project has billing.",
  billing:
    "This is money, not quota, and waiting does not mend it: batches need a project with billing, credit and room under its spending cap. https://aistudio.google.com/projects shows and changes that; then run the same command again.",
  model: `Choose another --model: vecfill knows ${Object.keys(MODELS).join(" and ")}. \`vecfill doctor\` tells what there is for this key.`,
  unreachable:
    "Check the network, and GOOGLE_GEMINI_BASE_URL if it is set (does `vecfill emulator` run, where that is meant?), then run the same command again.",
  quota:
    "Run the same command again later: it goes on where it stopped. https://aistudio.google.com/usage shows the project's limits.",
  uncertain: "Run the same command again: it finds out what took effect, and goes on from there.",
  unusable:
    "Run the same command again. If it happens again, something between here and Gemini changes its answers: check GOOGLE_GEMINI_BASE_URL.",
  notFound:
    "Files and batches are seen only with a key of the project that made them, and request files for 48 hours. `vecfill doctor` checks key and model; `vecfill jobs` shows what is recorded.",
  refused:
    "Gemini's words say what it does not accept. `vecfill doctor` checks key, model and address.",
};

/** The same command goes on where it stopped. */
const PASSING: readonly GeminiErrorKind[] = ["quota", "uncertain", "unusable"];

/** `doing` says what was being done and to what: `uploading job 0003`. */
export function explain(error: GeminiError, doing: string): UserError {
  const what = `${doing.charAt(0).toUpperCase()}${doing.slice(1)}`;
  const exit = PASSING.includes(error.kind) ? "unfinished" : "fatal";
  return new UserError(`${what} failed: ${error.message}`, {
    hint: HINTS[error.kind],
    exit,
    cause: error,
  });
}
