/** One line of the doctor's report. */
import { GeminiError } from "../../gemini/port.ts";
import { UserError } from "../../errors.ts";
import { TableRefusal } from "../../store/port.ts";

export type Check = Readonly<{
  /** A word or two, such as `key` or `text column`. */
  name: string;
  status: "ok" | "warning" | "failure";
  /** What was found. */
  message: string;
  /** What to do about it; undefined when it is well. */
  mend: string | undefined;
}>;

export function ok(name: string, message: string): Check {
  return { name, status: "ok", message, mend: undefined };
}

export function warning(name: string, message: string, mend: string): Check {
  return { name, status: "warning", message, mend };
}

export function failure(name: string, message: string, mend: string): Check {
  return { name, status: "failure", message, mend };
}

/** What the work found; what it failed with is a failure of its own, unless it is a bug. */
export async function attempt(
  name: string,
  work: () => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    return await work();
  } catch (error) {
    // the database answered: it is the table that will not do
    const isTable = name === "database" && error instanceof TableRefusal;
    const subject = isTable ? "table" : name;
    if (error instanceof UserError) return [failure(subject, error.message, error.hint)];
    if (error instanceof GeminiError) return [failure(name, error.message, MENDS[error.kind])];
    throw error;
  }
}

const MENDS: Readonly<Record<GeminiError["kind"], string>> = {
  key: "Make a key at https://aistudio.google.com/apikey and set GEMINI_API_KEY, or VECFILL_KEY_<NAME> of its project, to it; batches need one whose project has billing.",
  billing:
    "Batches need a project with billing, credit and room under its spending cap: https://aistudio.google.com/projects shows and changes that.",
  model: "Choose another --model.",
  unreachable: "Check the network, and GOOGLE_GEMINI_BASE_URL if it is set.",
  quota: "Wait a minute; https://aistudio.google.com/usage shows the project's limits.",
  uncertain: "Wait a moment and look again.",
  unusable: "Check GOOGLE_GEMINI_BASE_URL: something may change Gemini's answers.",
  notFound: "Choose another --model.",
  refused: "Gemini's words say what it does not accept.",
};
