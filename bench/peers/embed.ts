/** What each of the scripts here calls: Gemini's interactive API, as its documentation has it. */
const MODEL = "models/gemini-embedding-001";

export async function embed(texts: readonly string[]): Promise<string[]> {
  const requests = texts.map((text) => ({
    model: MODEL,
    content: { parts: [{ text }] },
    taskType: "RETRIEVAL_DOCUMENT",
    outputDimensionality: 768,
  }));
  const url = `${process.env["GOOGLE_GEMINI_BASE_URL"]}/v1beta/${MODEL}:batchEmbedContents`;
  const headers = { "x-goog-api-key": process.env["GEMINI_API_KEY"] ?? "" };
  const response = await fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify({ requests }),
  });
  if (!response.ok) throw new Error(await response.text());
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const { embeddings } = (await response.json()) as { embeddings: { values: number[] }[] };
  return embeddings.map(({ values }) => JSON.stringify(values));
}
