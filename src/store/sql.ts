/**
 * The statements that select rows and write vectors. One expression yields a row's text, and the start of its
 * SHA-256 the fingerprint; reading and writing use the very same one, so that the check of the text
 * and the write of its vector are one statement. Columns are qualified by the table's name, which
 * leaves `--where` free to name them with or without it.
 */
import type { IdType } from "../row/target-description.ts";
import { FINGERPRINT_CHARS, MAX_TEXT_CHARS } from "../row/question.ts";
import { parseRecipe, type RecipePart } from "../row/recipe.ts";
import { quoteIdentifier, type Target } from "../row/target.ts";
import { TEXT_HASH_DIGITS, VECTOR_HASH_DIGITS } from "./port.ts";
import { undoneMark, type UndoneWrite } from "./undone-write.ts";

/** What the catalogue must have told before the statements can be written. */
export type TableShape = Readonly<{
  idType: IdType;
  /** Where pgvector is installed; it need not be on the search path. */
  vectorSchema: string;
  embeddingType: "vector" | "halfvec";
}>;

/** Right whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return text.includes("\\") ? `E'${doubled.replaceAll("\\", "\\\\")}'` : `'${doubled}'`;
}

/**
 * The text of a row, as Gemini gets it: NULL parts are empty, nothing is trimmed. `row` names the
 * row where it is not the table's, such as NEW in a trigger.
 */
export function textExpression(target: Target, row = quoteIdentifier(target.table)): string {
  return parseRecipe(target.text)
    .map((part) => partExpression(row, part))
    .join(" || ");
}

/** As the export has it: a row of which each column is empty has no text, whatever stands between them. */
export function hasText(target: Target): string {
  const columns = parseRecipe(target.text).filter((part) => "column" in part);
  const text = columns.map((part) => partExpression(quoteIdentifier(target.table), part));
  return `(${text.join(" || ")}) ~ '[^[:space:]]'`;
}

/**
 * Lowercase hex. The collation is named because columns of different collations in one recipe
 * leave none to compare by. A database of another encoding gives the bytes that it has: not all of
 * them need be characters.
 */
export function fingerprintExpression(target: Target, row?: string): string {
  const text = textExpression(target, row);
  const bytes = `CASE WHEN pg_catalog.current_setting('server_encoding') = 'UTF8'
      THEN convert_to(${text}, 'UTF8')
      ELSE decode(replace((${text}) COLLATE pg_catalog."C", ${quoteLiteral("\\")}, ${quoteLiteral("\\\\")}), 'escape') END`;
  return `left(encode(sha256(${bytes}), 'hex'), ${FINGERPRINT_CHARS}) COLLATE pg_catalog."C"`;
}

/**
 * What is read of a row's text. A SQL_ASCII database may hold bytes that are no UTF-8 and can be sent to
 * nobody: such a text is read as none, so that it costs its row and not the statement.
 */
export function startOfText(target: Target): string {
  const text = `left(${textExpression(target)}, ${MAX_TEXT_CHARS + 1})`;
  return `CASE WHEN pg_catalog.current_setting('server_encoding') <> 'SQL_ASCII' THEN ${text}
      WHEN ${text} COLLATE pg_catalog."C" ~ ${quoteLiteral(UTF8)} THEN ${text} ELSE '' END`;
}

/** Of bytes, as Postgres checks them. */
const UTF8 = String.raw`^(?:[\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$`;

/** `$1` limit; `$2` id of the row before, where there is one. */
export function readPendingSql(
  target: Target,
  shape: TableShape,
  options: { where: string | undefined; afterId: boolean },
): string {
  const id = qualifiedColumn(target, target.id);
  const after = options.afterId ? `> $2::${ID_TYPES[shape.idType]}` : "IS NOT NULL";
  return `
    SELECT ${id}::text AS id, ${startOfText(target)} AS text,
      ${fingerprintExpression(target)} AS fingerprint
    FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${id} ${after}${andCondition(options.where)}
    ORDER BY ${id} LIMIT $1`;
}

/**
 * Fails, and reads no row, unless a condition is one by itself: it ends the statement, so that a
 * parenthesis, a quote or a comment that it leaves open or closes too often is wrong here, while
 * `andCondition` puts it between two of ours. `$1`, anything: several statements cannot have one.
 */
export function checkConditionSql(target: Target, where: string): string {
  return `EXPLAIN SELECT $1::text FROM ${qualifiedTable(target)} WHERE\n${where}`;
}

/** One row, where any is to be seen. */
export function anyRowSql(target: Target): string {
  return `SELECT '' AS seen FROM ${qualifiedTable(target)} LIMIT 1`;
}

export function countSql(target: Target, where: string | undefined): string {
  return `
    SELECT count(*)::text AS total,
      (count(*) FILTER (WHERE ${qualifiedColumn(target, target.embedding)} IS NULL))::text AS pending
    FROM ${qualifiedTable(target)}
    WHERE true${andCondition(where)}`;
}

/**
 * How rows are handed over. `arrays`: `$1` ids, `$2` fingerprints, `$3` vectors in binary; `held`: so, and written only
 * where `vecfill_hold` has a row. Else the name of a jsonb array of objects with id, fingerprint and vector as strings.
 */
export type GivenAs = "arrays" | "held" | "$1" | "vecfill_offer";

/**
 * A row for each one written, with its place. Fails as a whole where a trigger makes another row of
 * one than was asked for (`undone-write.ts`).
 */
export function applySql(target: Target, shape: TableShape, as: GivenAs = "arrays"): string {
  return `
    UPDATE ${qualifiedTable(target)} SET ${quoteIdentifier(target.embedding)} = ${givenVector(shape)}
    FROM ${givenRows(shape, as)}
    WHERE ${qualifiedColumn(target, target.id)} = ${GIVEN}.id
      AND ${qualifiedColumn(target, target.embedding)} IS NULL
      AND ${hasGivenText(target)}${whileHeld(as)}
    RETURNING ${placeOfUnchanged(target, shape)} AS place`;
}

const whileHeld = (as: GivenAs) => (as === "held" ? " AND EXISTS (SELECT FROM vecfill_hold)" : "");

/** Jobs of earlier versions have the md5; no text can be found whose md5 is a given SHA-256. */
function hasGivenText(target: Target): string {
  return `(${GIVEN}.fingerprint = ${fingerprintExpression(target)}
      OR ${GIVEN}.fingerprint = md5(${textExpression(target)}) COLLATE pg_catalog."C")`;
}

/** What a person needs of a key to find the row; an error's message is cut. */
const MAX_ID_SHOWN = 100;

/** RETURNING sees the row as triggers before the write have left it. */
function placeOfUnchanged(target: Target, shape: TableShape): string {
  const embedding = qualifiedColumn(target, target.embedding);
  const undone = (why: UndoneWrite): string =>
    `(${quoteLiteral(undoneMark(why))} || left(${GIVEN}.id::text, ${MAX_ID_SHOWN}))::int::text`;
  return `CASE
      WHEN NOT ${hasGivenText(target)} THEN ${undone("text")}
      WHEN ${embedding} IS NULL THEN ${undone("vector")}
      WHEN NOT ${embedding} ${equals(shape)} ${givenVector(shape)} THEN ${undone("values")}
      ELSE ${GIVEN}.place::text END`;
}

/**
 * Parameters as for `applySql`. What became of rows that it did not write; `open` when nothing
 * stands against writing. Holding exactly our vector comes first: that is an answer lost earlier.
 */
export function classifySql(target: Target, shape: TableShape, as: GivenAs = "arrays"): string {
  const embedding = qualifiedColumn(target, target.embedding);
  return `
    SELECT ${GIVEN}.place::text AS place, CASE
      WHEN ${embedding} ${equals(shape)} ${givenVector(shape)} THEN 'written'
      WHEN ${qualifiedColumn(target, target.id)} IS NULL AND ${mayHideRows(target)} THEN 'hidden'
      WHEN ${qualifiedColumn(target, target.id)} IS NULL THEN 'gone'
      WHEN ${embedding} IS NOT NULL THEN 'filled'
      WHEN NOT ${hasGivenText(target)} THEN 'stale'
      ELSE 'open' END AS outcome
    FROM ${givenRows(shape, as)}
    LEFT JOIN ${qualifiedTable(target)} ON ${qualifiedColumn(target, target.id)} = ${GIVEN}.id`;
}

/**
 * Row level security applies to the role now, and no policy shows it every row. Asked in the very
 * statement that misses a row: it may have been switched on a moment ago.
 */
function mayHideRows(target: Target): string {
  const table = `${quoteLiteral(qualifiedTable(target))}::regclass`;
  const policy = (kind: string): string => `EXISTS (
        SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = ${table} AND p.polcmd IN ('r', '*') AND ${kind}
          AND EXISTS (SELECT FROM unnest(p.polroles) AS r(role)
            WHERE r.role = 0 OR pg_catalog.pg_has_role(r.role, 'USAGE')))`;
  const open = policy("p.polpermissive AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true'");
  return `pg_catalog.row_security_active(${table}) AND NOT (${open} AND NOT ${policy("NOT p.polpermissive")})`;
}

/** Parameters as for `applySql`. What each row holds beside its vector, as `Holding` says it. */
export function compareSql(target: Target, shape: TableShape, as: GivenAs = "arrays"): string {
  const embedding = qualifiedColumn(target, target.embedding);
  return `
    SELECT ${GIVEN}.place::text AS place, CASE
      WHEN ${qualifiedColumn(target, target.id)} IS NULL THEN 'gone'
      WHEN ${embedding} IS NULL AND NOT ${hasGivenText(target)} THEN 'changed'
      WHEN ${embedding} IS NULL THEN 'empty'
      WHEN ${embedding} ${equals(shape)} ${givenVector(shape)} THEN 'same'
      ELSE 'other' END AS holding
    FROM ${givenRows(shape, as)}
    LEFT JOIN ${qualifiedTable(target)} ON ${qualifiedColumn(target, target.id)} = ${GIVEN}.id`;
}

/** Parameters as for `applySql`. A row for each one cleared, with its place. */
export function clearSql(target: Target, shape: TableShape, as: GivenAs = "arrays"): string {
  return `
    UPDATE ${qualifiedTable(target)} SET ${quoteIdentifier(target.embedding)} = NULL
    FROM ${givenRows(shape, as)}
    WHERE ${qualifiedColumn(target, target.id)} = ${GIVEN}.id
      AND ${qualifiedColumn(target, target.embedding)} ${equals(shape)} ${givenVector(shape)}${whileHeld(as)}
    RETURNING ${GIVEN}.place::text AS place`;
}

/** The parameters of a look, as the statement names them; `wanted` and `picks` are jsonb arrays. */
export type LookParameters = Readonly<
  Record<"limit" | "dimensions" | "tolerance" | "wanted" | "picks", string>
>;

/**
 * One jsonb object, `Look` as JSON. `condition` follows the id: a window begins behind a row, or at
 * the first. Vectors are read once, and come back only where they are picked.
 */
export function lookSql(
  target: Target,
  shape: TableShape,
  condition: string,
  { limit, dimensions, tolerance, wanted, picks }: LookParameters,
): string {
  const id = qualifiedColumn(target, target.id);
  const embedding = qualifiedColumn(target, target.embedding);
  const text = `(${textExpression(target)}) COLLATE pg_catalog."C"`;
  const vector = (name: string) => `${quoteIdentifier(shape.vectorSchema)}.${name}(${embedding})`;
  const [norm, send] =
    shape.embeddingType === "halfvec"
      ? [vector("l2_norm"), vector("halfvec_send")]
      : [vector("vector_norm"), vector("vector_send")];
  return `
  WITH vecfill_window AS MATERIALIZED (
    SELECT ${id} AS id, ${embedding} IS NOT NULL AS filled, ${vector("vector_dims")} AS dims,
      ${norm} AS norm, left(md5(${send}), ${VECTOR_HASH_DIGITS}) AS hash,
      CASE WHEN ${embedding} IS NOT NULL THEN left(md5(${text}), ${TEXT_HASH_DIGITS}) END AS text_hash
    FROM ${qualifiedTable(target)} WHERE ${id} ${condition} ORDER BY ${id} LIMIT ${limit}
  ), vecfill_filled AS MATERIALIZED (
    SELECT w.id, w.dims, w.norm, w.hash, w.text_hash, row_number() OVER (ORDER BY w.id) - 1 AS place,
      CASE WHEN w.dims <> ${dimensions} THEN 'dimensions'
        WHEN w.norm IN ('NaN', 'Infinity') THEN 'notFinite'
        WHEN abs(w.norm - 1) > ${tolerance} THEN 'length' END AS flaw
    FROM vecfill_window w WHERE w.filled
  )
  SELECT jsonb_build_object(
    'rows', (SELECT count(*) FROM vecfill_window),
    'withEmbedding', (SELECT count(*) FROM vecfill_filled),
    'flawed', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', f.id::text, 'flaw', f.flaw,
        'detail', CASE f.flaw WHEN 'dimensions' THEN f.dims::text ELSE f.norm::text END) ORDER BY f.place), '[]')
      FROM vecfill_filled f WHERE f.flaw IS NOT NULL),
    'hashes', (SELECT coalesce(string_agg(f.hash || f.text_hash, '' ORDER BY f.place), '')
      FROM vecfill_filled f),
    'found', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', f.id::text, 'hash', f.hash,
        'words', md5(btrim(regexp_replace(${text}, '[[:space:]]+', ' ', 'g')))) ORDER BY f.place), '[]')
      FROM vecfill_filled f JOIN ${qualifiedTable(target)} ON ${id} = f.id
      WHERE f.hash IN (SELECT jsonb_array_elements_text(${wanted}))),
    'picked', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', f.id::text,
        'text', ${startOfText(target)},
        'vector', ${embedding}::text::jsonb) ORDER BY f.place), '[]')
      FROM vecfill_filled f JOIN ${qualifiedTable(target)} ON ${id} = f.id
      WHERE f.place IN (SELECT jsonb_array_elements_text(${picks})::bigint)
        AND ${embedding} IS NOT NULL),
    'until', (SELECT w.id::text FROM vecfill_window w ORDER BY w.id DESC LIMIT 1))`;
}

/** An alias that no table of a user has. */
const GIVEN = "vecfill_given";

/** The widest type of each kind; indexes of the narrower ones serve it as well. */
export const ID_TYPES: Readonly<Record<IdType, string>> = {
  integer: "bigint",
  uuid: "uuid",
  text: "text",
};

/** One encoder serves both column types: what is given is always `vector`. */
function givenRows(shape: TableShape, as: GivenAs): string {
  const id = ID_TYPES[shape.idType];
  const vector = `${quoteIdentifier(shape.vectorSchema)}.vector`;
  const rows =
    as === "arrays" || as === "held"
      ? `unnest($1::${id}[], $2::text[], $3::${vector}[])`
      : `ROWS FROM (jsonb_to_recordset(${as}) AS (id ${id}, fingerprint text, vector ${vector}))`;
  return `${rows} WITH ORDINALITY AS ${GIVEN}(id, fingerprint, vector, place)`;
}

/** As the column will hold it: the cast to halfvec rounds. */
function givenVector(shape: TableShape): string {
  return `${GIVEN}.vector::${quoteIdentifier(shape.vectorSchema)}.${shape.embeddingType}`;
}

function equals(shape: TableShape): string {
  return `OPERATOR(${quoteIdentifier(shape.vectorSchema)}.=)`;
}

/** In a quote that the body does not hold. */
export function dollarQuoted(body: string): string {
  let tag = "$vecfill$";
  for (let tries = 1; body.includes(tag); tries += 1) tag = `$vecfill${tries}$`;
  return `${tag}${body}${tag}`;
}

export function qualifiedTable(target: Target): string {
  return `${quoteIdentifier(target.schema)}.${quoteIdentifier(target.table)}`;
}

export function qualifiedColumn(target: Target, name: string): string {
  return `${quoteIdentifier(target.table)}.${quoteIdentifier(name)}`;
}

function partExpression(row: string, part: RecipePart): string {
  return "column" in part
    ? `coalesce(${row}.${quoteIdentifier(part.column)}::text, '')`
    : quoteLiteral(part.literal);
}

/** On lines of its own, so that a comment at its end takes nothing with it. */
export function andCondition(where: string | undefined): string {
  return where === undefined ? "" : ` AND (\n${where}\n)`;
}

/** What a row whose vector was not refused is taken back with; the message says what it held then. */
export const TAKEN_BACK = "VFTRY";

type Trial = Readonly<{
  dimensions: string;
  /** A text array: ids of rows that are passed over. */
  except: string;
  where: string | undefined;
  /** The statement that gives the jsonb that `trialOf` reads. */
  tell: (told: string) => string;
}>;

/**
 * In PL/pgSQL, by itself or as a function: a few rows are offered a vector in the statement of the import,
 * each in a subtransaction that always raises, so that nothing stays, though triggers fire. It ends with the
 * first row that takes its vector.
 */
export function trialBody(
  target: Target,
  shape: TableShape,
  { dimensions, except, where, tell }: Trial,
): string {
  return `
#variable_conflict use_column
declare
  vecfill_vector constant text := (${vectorSql(shape, dimensions)});
  vecfill_row record;
  vecfill_offer jsonb;
  vecfill_holding text;
  vecfill_code text;
  vecfill_message text;
  vecfill_constraint text;
  vecfill_where text;
  vecfill_hint text;
  vecfill_raised jsonb := '[]';
begin
  perform pg_catalog.set_config('lock_timeout', '2s', true);
  for vecfill_row in ${trialRowsSql(target, { except, where })}
  loop
    vecfill_offer := jsonb_build_array(jsonb_build_object('id', vecfill_row.id,
      'fingerprint', vecfill_row.fingerprint, 'vector', vecfill_vector));
    begin
      set constraints all immediate;${applySql(target, shape, "vecfill_offer")} into vecfill_holding;
      select c.holding into vecfill_holding from (${compareSql(target, shape, "vecfill_offer")}
      ) as c;
      raise exception using errcode = '${TAKEN_BACK}', message = vecfill_holding;
    exception when others then
      get stacked diagnostics vecfill_code = returned_sqlstate, vecfill_message = message_text,
        vecfill_constraint = constraint_name, vecfill_where = pg_exception_context,
        vecfill_hint = pg_exception_hint;
    end;
    vecfill_raised := vecfill_raised || jsonb_build_object('id', vecfill_row.id, 'code', vecfill_code,
      'message', vecfill_message, 'constraint', vecfill_constraint, 'where', vecfill_where, 'hint', vecfill_hint);
    exit when vecfill_code = '${TAKEN_BACK}' and vecfill_message = 'same';
  end loop;
  ${tell(`jsonb_build_object('raised', vecfill_raised, 'withoutKey', (
    SELECT count(*) FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.id)} IS NULL AND ${qualifiedColumn(target, target.embedding)} IS NULL))`)}
end`;
}

/** Of unit length. Its numbers follow no pattern: one that compresses would fit into an index that takes no other. */
function vectorSql({ vectorSchema }: TableShape, dimensions: string): string {
  return `
    select array_agg((v.value / v.length)::real order by v.place)::${quoteIdentifier(vectorSchema)}.vector::text
    from (
      select n as place, sin(n * n::float8) as value, sqrt(sum(power(sin(n * n::float8), 2)) over ()) as length
      from generate_series(1, ${dimensions}) as n
    ) as v`;
}

/** Rows that a trial offers a vector. */
const TRIAL_ROWS = 5;

/** Pending rows for a trial: those that nobody holds, or else one, which is waited for. `except`: a text array. */
function trialRowsSql(
  target: Target,
  { except, where }: Readonly<{ except: string; where: string | undefined }>,
): string {
  const id = qualifiedColumn(target, target.id);
  const rows = (limit: number, lock = "") => `
    SELECT ${id}::text AS id, ${fingerprintExpression(target)} AS fingerprint
    FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${id} IS NOT NULL
      AND ${id}::text <> ALL (${except})${andCondition(where)}
    ORDER BY ${id} LIMIT ${limit}${lock}`;
  const lock = ` FOR UPDATE OF ${quoteIdentifier(target.table)} SKIP LOCKED`;
  return `
  WITH vecfill_free AS MATERIALIZED (${rows(TRIAL_ROWS, lock)}
  ), vecfill_held AS (${rows(1)}
  )
  SELECT f.id, f.fingerprint FROM vecfill_free f
  UNION ALL SELECT h.id, h.fingerprint FROM vecfill_held h WHERE NOT EXISTS (SELECT FROM vecfill_free)`;
}
