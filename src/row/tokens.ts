/**
 * How many tokens a text is, roughly. Only the service knows; this is for planning, for the bounds
 * of a job and for sorting out texts that are far too long, and costs one pass over the text.
 *
 * The embedding models cut text with a SentencePiece vocabulary of about 256,000 pieces: common
 * words are one piece together with the space before them, digits stand alone, and scripts of many
 * signs come in short pieces. The figures below are estimates in that light, nobody's promise.
 */

/** An estimate; 0 only for the empty text. */
export function estimateTokens(text: string): number {
  if (text === "") return 0;
  let tokens = 0;
  let start = 0;
  let kind = KINDS[text.charCodeAt(0)] ?? 0;
  for (let at = 1; at < text.length; at += 1) {
    const next = KINDS[text.charCodeAt(at)] ?? 0;
    if (next === kind) continue;
    tokens += tokensOfRun(kind, at - start);
    start = at;
    kind = next;
  }
  tokens += tokensOfRun(kind, text.length - start);
  return Math.max(1, Math.ceil(tokens));
}

type Kind = keyof typeof COSTS;

/** A run of n characters of one kind costs `each * (n - free)`, and never less than `least`. */
type Cost = Readonly<{ least: number; free: number; each: number }>;

const COSTS = {
  /** Latin letters: one token up to seven, then one for every four more. */
  latin: { least: 1, free: 3, each: 0.25 },
  /** The single space belongs to the word after it; indentation has pieces of its own. */
  space: { least: 0, free: 1, each: 0.15 },
  newline: { least: 1, free: 0, each: 0.2 },
  digit: { least: 1, free: 0, each: 1 },
  punctuation: { least: 1, free: 0, each: 0.6 },
  /** Greek, Cyrillic, Armenian, Hebrew, Arabic. */
  alphabet: { least: 1, free: 0, each: 0.32 },
  /** Indic scripts, Thai, Georgian, Ethiopic and their neighbours. */
  abugida: { least: 1, free: 0, each: 0.45 },
  /** Kana and Hangul. */
  syllable: { least: 1, free: 0, each: 0.6 },
  ideograph: { least: 1, free: 0, each: 0.7 },
  /** Halves of surrogate pairs (emoji, rare ideographs) and symbols. */
  symbol: { least: 1, free: 0, each: 0.9 },
} as const satisfies Readonly<Record<string, Cost>>;

/** The kinds of what is not ASCII, by the first code unit above each range, ascending. */
const RANGES: readonly (readonly [above: number, kind: Kind])[] = [
  [0x00c0, "symbol"],
  [0x0250, "latin"],
  [0x0370, "symbol"],
  [0x0780, "alphabet"],
  [0x1100, "abugida"],
  [0x1200, "syllable"],
  [0x1e00, "abugida"],
  [0x1f00, "latin"],
  [0x2000, "alphabet"],
  [0x3040, "symbol"],
  [0x3190, "syllable"],
  [0x3400, "symbol"],
  [0xa000, "ideograph"],
  [0xac00, "abugida"],
  [0xd7b0, "syllable"],
  [0xf900, "symbol"],
  [0xfb00, "ideograph"],
  [0x10000, "symbol"],
];

const ASCII_END = 0x80;
const CODE_UNITS = 0x10000;
const KIND_NAMES: readonly string[] = Object.keys(COSTS);
const KIND_COSTS: readonly Cost[] = Object.values(COSTS);
/** The kind of every code unit, by its place in `COSTS`: it is asked for with every character of every row. */
const KINDS = kindsOfAll();

function kindsOfAll(): Uint8Array {
  const kinds = new Uint8Array(CODE_UNITS);
  let from = ASCII_END;
  for (const [above, kind] of RANGES) {
    kinds.fill(KIND_NAMES.indexOf(kind), from, above);
    from = above;
  }
  for (let code = 0; code < ASCII_END; code += 1) {
    kinds[code] = KIND_NAMES.indexOf(kindOfAscii(String.fromCharCode(code)));
  }
  return kinds;
}

function kindOfAscii(character: string): Kind {
  if (/[a-z]/i.test(character)) return "latin";
  if (/\d/.test(character)) return "digit";
  if (/[\n\r]/.test(character)) return "newline";
  return /\s/.test(character) ? "space" : "punctuation";
}

function tokensOfRun(kind: number, length: number): number {
  if (length < TABLED_LENGTHS) return TABLED_TOKENS[kind * TABLED_LENGTHS + length] ?? 0;
  return costOfRun(KIND_COSTS[kind] ?? COSTS.symbol, length);
}

const TABLED_LENGTHS = 32;
/** Of short runs, by kind and length. */
const TABLED_TOKENS = Float64Array.from(
  KIND_COSTS.flatMap((cost) =>
    Array.from({ length: TABLED_LENGTHS }, (_, n) => costOfRun(cost, n)),
  ),
);

function costOfRun({ least, free, each }: Cost, length: number): number {
  return Math.max(least, each * (length - free));
}
