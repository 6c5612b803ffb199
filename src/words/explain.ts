import { type ExitReason, UserError } from "../errors.ts";
import { MODELS } from "../row/models.ts";
import { type Gemini, GeminiError, type GeminiErrorKind } from "../gemini/port.ts";

const ADVICE: Readonly<Record<GeminiErrorKind, Readonly<{ hint: string; exit: ExitReason }>>> = {
  key: {
    hint: "Check GEMINI_API_KEY: `vecfill doctor` tries it. Keys are made at https://aistudio.google.com/apikey; batches need one whose project has billing.",
    exit: "fatal",
  },
  billing: {
    hint: "This is money, not quota, and waiting does not mend it: batches need a project with billing, credit and room under its spending cap. https://aistudio.google.com/projects shows and changes that; then run the same command again.",
    exit: "fatal",
  },
  model: {
    hint: `Choose another --model: vecfill knows ${Object.keys(MODELS).join(" and ")}. \`vecfill doctor\` tells what there is for this key.`,
    exit: "fatal",
  },
  unreachable: {
    hint: "Check the network, and GOOGLE_GEMINI_BASE_URL if it is set, then run the same command again.",
    exit: "fatal",
  },
  quota: {
    hint: "Run the same command again later: it goes on where it stopped. https://aistudio.google.com/usage shows the project's limits.",
    exit: "unfinished",
  },
  uncertain: {
    hint: "Run the same command again: it finds out what took effect, and goes on from there.",
    exit: "unfinished",
  },
  unusable: {
    hint: "Run the same command again. If it happens again, something between here and Gemini changes its answers: check GOOGLE_GEMINI_BASE_URL.",
    exit: "unfinished",
  },
  notFound: {
    hint: "Files and batches are seen only with a key of the project that made them, and request files for 48 hours. `vecfill doctor` checks key and model; `vecfill jobs` shows what is recorded.",
    exit: "fatal",
  },
  refused: {
    hint: "Gemini's words say what it does not accept. `vecfill doctor` checks key, model and address.",
    exit: "fatal",
  },
};

/** `doing` says what was being done and to what: `uploading job 0003`. */
export function explain(error: GeminiError, doing: string): UserError {
  const what = `${doing.charAt(0).toUpperCase()}${doing.slice(1)}`;
  return new UserError(`${what} failed: ${error.message}`, { ...ADVICE[error.kind], cause: error });
}

/**
 * Throws a UserError where Gemini refuses the key, before anything rests on it. Any other failure says
 * nothing about the key, and whoever needs Gemini meets it again.
 */
export async function refuseBadKey(gemini: Pick<Gemini, "listModels">): Promise<void> {
  try {
    await gemini.listModels();
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (error.kind === "key" || error.kind === "billing") throw explain(error, "trying the key");
  }
}
