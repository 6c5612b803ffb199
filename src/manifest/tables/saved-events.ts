/**
 * What the events of a shared manifest come to up to one of them, so that whoever comes reads only what follows. Kept beside them
 * by who had to read many; counts only where that very event stands there still.
 */
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";
import { emptyState, type ManifestState } from "../fold.ts";
import { packed, unpacked } from "../saved/saved-state.ts";
import type { EventPlace, Sharing } from "./shared-log.ts";
import { BYTES_OID, textIn } from "./tables.ts";

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);

/** So many are read in an instant. */
const WORTH_SAVING_EVENTS = 2_000;

const FIND = `
  SELECT encode(s.bytes, 'base64') AS bytes, s.number::text AS number, s.holder
  FROM vecfill.saved s JOIN vecfill.event e ON e.manifest = s.manifest AND e.number = s.number AND e.holder = s.holder
  WHERE s.manifest = $1`;
const SAVE = `
  INSERT INTO vecfill.saved (manifest, number, holder, bytes) VALUES ($1, $2::bigint, $3, $4)
  ON CONFLICT (manifest) DO UPDATE SET number = excluded.number, holder = excluded.holder, bytes = excluded.bytes`;

const NONE = Buffer.alloc(0);

type Books = Pick<Sharing, "tables" | "id" | "again">;
type Saved = Readonly<{ state: ManifestState; place: EventPlace }>;

/** Of nothing, where nothing is saved that this version can read. */
export async function findSaved({ tables, id, again }: Books): Promise<Saved> {
  const [row] = await again(() => tables.query(FIND, [id]));
  const nothing = { state: emptyState(), place: { number: 0, mark: "" } };
  if (row === undefined) return nothing;
  // what is damaged is as good as nothing
  const bytes = await decompressed(Buffer.from(textIn(row, "bytes"), "base64")).catch(() => NONE);
  const found = unpacked(bytes);
  const place = { number: Number(textIn(row, "number")), mark: textIn(row, "holder") };
  return found === undefined ? nothing : { state: found.state, place };
}

/** `before`: what was found. */
export async function keepSaved(
  { tables, id, again }: Books,
  { state, place }: Saved,
  before: EventPlace,
): Promise<void> {
  if (place.number - before.number < WORTH_SAVING_EVENTS) return;
  const bytes = { typeOid: BYTES_OID, bytes: await compressed(packed(state, null)) };
  await again(() => tables.query(SAVE, [id, place.number, place.mark, bytes]));
}
