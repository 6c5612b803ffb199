import { setImmediate as nextTurn } from "node:timers/promises";
import type { PendingQuestion } from "../row/question.ts";
import type { Store } from "../store/port.ts";

const FIRST_PAGE_ROWS = 500;
const MAX_PAGE_ROWS = 5_000;
/** Characters a page should hold, so that long texts do not fill the memory. */
const PAGE_CHARACTERS = 4_000_000;

/** A look: where no row waits, nothing else need be asked. */
export async function hasPending(store: Store): Promise<boolean> {
  return (await store.readPending({ after: undefined, limit: 1 })).length > 0;
}

/**
 * Every pending row, in id order, a page at a time; the next page is read while the last one is
 * used. A page's number of rows follows the length of the texts.
 */
export async function* pendingPages(store: Store): AsyncGenerator<PendingQuestion[]> {
  let limit = FIRST_PAGE_ROWS;
  let reading = ahead(store.readPending({ after: undefined, limit }));
  try {
    for (;;) {
      const page = await reading;
      const last = page.at(-1);
      if (last === undefined) return;
      const atEnd = page.length < limit;
      limit = nextLimit(page);
      if (!atEnd) {
        reading = ahead(store.readPending({ after: last.id, limit }));
        // drivers send a query a turn later: without it, the server would wait while the page is used
        await nextTurn();
      }
      yield page;
      if (atEnd) return;
    }
  } finally {
    await reading.catch(() => {});
  }
}

/** Rows to ask for next, by the texts just read. */
export function nextLimit(page: readonly PendingQuestion[]): number {
  const characters = page.reduce((sum, question) => sum + question.text.length, 0);
  const rows = Math.floor((PAGE_CHARACTERS * page.length) / Math.max(characters, 1));
  return Math.max(1, Math.min(MAX_PAGE_ROWS, rows));
}

/** A page that was read ahead fails where it is awaited; one that nobody wants any more, nowhere. */
function ahead<T>(reading: Promise<T>): Promise<T> {
  reading.catch(() => {});
  return reading;
}
