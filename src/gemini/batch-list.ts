import type { Address } from "./http/address.ts";
import { parseBatchPage, type BatchPage } from "./batch-resource.ts";
import { unusable } from "./http/failure.ts";
import { parseJson } from "../row/json-value.ts";
import type { Limits } from "./http/limits.ts";
import type { Batch } from "./port.ts";
import type { Transport } from "./http/transport.ts";

export type BatchListServices = Readonly<{
  transport: Transport;
  address: Address;
  limits: Limits;
}>;

/**
 * All pages or an error, never a part: who asks takes a batch that is not in here for never
 * created. By plain fetch, because the SDK reads anything without `operations` as an empty list.
 */
export async function listBatches(
  services: BatchListServices,
  signal: AbortSignal | undefined,
): Promise<Batch[]> {
  const byName = new Map<string, Batch>();
  const tokens = new Set<string>();
  let pageToken: string | undefined = "";
  while (pageToken !== undefined) {
    tokens.add(pageToken);
    const page: BatchPage = await readPage(pageToken, services, signal);
    checkProgress(page, byName, tokens, services.limits);
    // A batch made meanwhile pushes others onto the next page, where they come again.
    for (const batch of page.batches) if (!byName.has(batch.name)) byName.set(batch.name, batch);
    pageToken = page.nextPageToken;
  }
  return [...byName.values()].sort(newestFirst);
}

/** Throws where a page was there before, by its token or by all that it shows: what is behind it nobody sees. */
function checkProgress(
  { batches, nextPageToken }: BatchPage,
  seen: ReadonlyMap<string, Batch>,
  tokens: ReadonlySet<string>,
  { maxPages }: Limits,
): void {
  if (nextPageToken === undefined) return;
  const showsNothingNew = batches.length > 0 && batches.every(({ name }) => seen.has(name));
  if (showsNothingNew || tokens.has(nextPageToken)) {
    throw unusable("the batch list leads back to a page that was read");
  }
  if (tokens.size >= maxPages) throw unusable(`the batch list has over ${maxPages} pages`);
}

async function readPage(
  pageToken: string,
  { transport, address, limits }: BatchListServices,
  signal: AbortSignal | undefined,
): Promise<BatchPage> {
  const url = address.of("batches");
  url.searchParams.set("pageSize", String(limits.pageSize));
  if (pageToken !== "") url.searchParams.set("pageToken", pageToken);
  const answer = await transport.exchange({ method: "GET", url, signal }, limits.callMs);
  const page = parseBatchPage(parseJson(answer.text));
  if (page === undefined) throw unusable("it is no list of batches, or not a whole one");
  return page;
}

/** Ties keep the service's order, which is newest first too; what has no time may be the newest. */
function newestFirst(a: Batch, b: Batch): number {
  return createdMs(b) - createdMs(a);
}

function createdMs({ createdAt }: Batch): number {
  const ms = Date.parse(createdAt ?? "");
  return Number.isNaN(ms) ? Number.MAX_SAFE_INTEGER : ms;
}
