/**
 * What becomes of the requests of one call. The API refuses a call as a whole for one text that it
 * does not take: the call is then halved until the text is found, so that one bad text costs one
 * row. Where every text of a call is refused, it is not the texts.
 */
import { type Embedded, GeminiError } from "../gemini/port.ts";
import type { Answer } from "../jobs-folder/checkpoint.ts";
import type { RequestLine } from "../row/request-line.ts";

export type Embedding = Readonly<{
  embed: (texts: readonly string[]) => Promise<Embedded>;
  /** Makes answers durable. What was paid for is kept at once. */
  keep: (answers: readonly Answer[]) => Promise<void>;
}>;

/** Fewer texts may all be bad by chance. */
const REFUSALS_THAT_PROVE = 10;

/** Every request has its answer once this resolves. Throws a GeminiError that is not about a text. */
export async function answerOf(
  requests: readonly RequestLine[],
  embedding: Embedding,
): Promise<void> {
  const refused = await embed(requests, embedding);
  const [first] = refused;
  if (first !== undefined && refused.length === requests.length) {
    if (refused.length >= REFUSALS_THAT_PROVE) throw first.error;
  }
  if (refused.length === 0) return;
  await embedding.keep(refused.map(({ key, error }) => errorAnswer(key, INVALID_ARGUMENT, error)));
}

type Refused = Readonly<{ key: string; error: GeminiError }>;

/** Keeps what is answered; the requests that were refused, each by itself. */
async function embed(
  requests: readonly RequestLine[],
  embedding: Embedding,
): Promise<readonly Refused[]> {
  try {
    const texts = requests.map(({ request }) => request.content.parts[0].text);
    await embedding.keep(vectorAnswers(requests, await embedding.embed(texts)));
    return [];
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (error.kind === "unusable") {
      await embedding.keep(requests.map(({ key }) => errorAnswer(key, undefined, error)));
      return [];
    }
    if (!isAboutText(error)) throw error;
    const [only] = requests;
    if (only !== undefined && requests.length === 1) return [{ key: only.key, error }];
    const middle = Math.ceil(requests.length / 2);
    const first = await embed(requests.slice(0, middle), embedding);
    return [...first, ...(await embed(requests.slice(middle), embedding))];
  }
}

/** Of google.rpc.Code, as a batch's result lines have it. */
const INVALID_ARGUMENT = 3;
const BAD_REQUEST = 400;

/** Not about the key, the project or the model, which would be no better for another text. */
function isAboutText({ kind, httpStatus, rpcStatus }: GeminiError): boolean {
  return kind === "refused" && httpStatus === BAD_REQUEST && rpcStatus === "INVALID_ARGUMENT";
}

/** The count is told for a call, so its first line carries it: the sum over the lines is right. */
function vectorAnswers(requests: readonly RequestLine[], { vectors, tokens }: Embedded): Answer[] {
  return requests.map(({ key }, index) => {
    const promptTokenCount = index === 0 ? tokens : 0;
    const usage = tokens === undefined ? {} : { usageMetadata: { promptTokenCount } };
    const response = { embedding: { values: vectors[index] }, ...usage };
    return { key, content: { response } };
  });
}

/** Without a code it may be sent again, as a line that cannot be read may. */
function errorAnswer(key: string, code: number | undefined, { message }: GeminiError): Answer {
  return { key, content: { error: { code, message } } };
}
