/** A column, looked at from its first row to its last. */
import type { Look, Store } from "../store/port.ts";

type Looking = Readonly<{ store: Store; signal: AbortSignal }>;

/** `picks`: places among the rows with a vector from here on; those behind are passed over. */
type Asked = Readonly<{ wanted: readonly string[]; picks: () => readonly number[] }>;

export async function eachWindow(
  { store, signal }: Looking,
  { wanted, picks }: Asked,
  work: (look: Look) => void,
): Promise<void> {
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    const look = await store.look({ after, wanted, picks: picks().filter((place) => place >= 0) });
    work(look);
    after = look.until;
  } while (after !== undefined);
}
