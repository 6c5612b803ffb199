/** Which models there are for a key, as the service lists them; to ask costs nothing. */
import type { Address } from "./http/address.ts";
import { unusable } from "./http/failure.ts";
import { fields, list, text } from "./http/json.ts";
import { isJsonObject, parseJson } from "../row/json-value.ts";
import type { Limits } from "./http/limits.ts";
import type { OfferedModel } from "./port.ts";
import type { Transport } from "./http/transport.ts";

type Services = Readonly<{ transport: Transport; address: Address; limits: Limits }>;

export async function listModels(
  { transport, address, limits }: Services,
  signal: AbortSignal | undefined,
): Promise<OfferedModel[]> {
  const models: OfferedModel[] = [];
  const seen = new Set<string>();
  let pageToken: string | undefined = "";
  while (pageToken !== undefined && !seen.has(pageToken)) {
    seen.add(pageToken);
    const url = address.of("models");
    url.searchParams.set("pageSize", String(limits.pageSize));
    if (pageToken !== "") url.searchParams.set("pageToken", pageToken);
    const answer = await transport.exchange({ method: "GET", url, signal }, limits.callMs);
    const page = parseJson(answer.text);
    if (!isJsonObject(page) || !Array.isArray(page["models"])) throw unusable("it lists no models");
    models.push(...page["models"].map(parseModel).filter((model) => model !== undefined));
    pageToken = text(page["nextPageToken"]) || undefined;
  }
  return models;
}

function parseModel(value: unknown): OfferedModel | undefined {
  const model = fields(value);
  const name = text(model["name"])?.replace(/^models\//, "");
  if (name === undefined) return undefined;
  const methods = list(model["supportedGenerationMethods"]).filter(
    (each) => text(each) !== undefined,
  );
  return { name, takesBatches: methods.length === 0 ? undefined : methods.includes(BATCH_METHOD) };
}

const BATCH_METHOD = "asyncBatchEmbedContent";
