/** Lists, newest first, in pages with opaque tokens. */
import { invalid } from "./service-error.ts";

const PAGE_ITEMS = 10;
const PAGE_ITEMS_MAX = 100;
const TOKEN = /^before (?<number>\d+)$/;

type Numbered = Readonly<{ number: number }>;
export type Page<T> = Readonly<{ items: readonly T[]; nextPageToken: string | undefined }>;

/**
 * A token names the last item shown by its number, so items that come or go between two pages
 * neither repeat nor hide others.
 */
export function page<T extends Numbered>(all: readonly T[], query: URLSearchParams): Page<T> {
  const size = pageSize(query.get("pageSize") ?? query.get("page_size"));
  const before = numberIn(query.get("pageToken") ?? query.get("page_token"));
  const rest = all.filter((item) => item.number < before).sort((a, b) => b.number - a.number);
  const items = rest.slice(0, size);
  const last = items.at(-1);
  const more = last !== undefined && rest.length > size;
  return { items, nextPageToken: more ? token(last.number) : undefined };
}

function pageSize(text: string | null): number {
  if (text === null || text === "" || text === "0") return PAGE_ITEMS;
  const size = Number(text);
  if (!Number.isInteger(size) || size < 0) {
    throw invalid(`Invalid value at 'page_size' (TYPE_INT32), "${text}"`);
  }
  return Math.min(size, PAGE_ITEMS_MAX);
}

function numberIn(text: string | null): number {
  if (text === null || text === "") return Infinity;
  const number = TOKEN.exec(Buffer.from(text, "base64url").toString())?.groups?.["number"];
  if (number === undefined) throw invalid("Invalid page token.");
  return Number(number);
}

function token(number: number): string {
  return Buffer.from(`before ${number}`).toString("base64url");
}
