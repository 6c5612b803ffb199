/** Numbers as people read them. */

/** `$1.13`; what is less than ten cents with more digits, and what is next to nothing with its first one. */
export function dollars(usd: number): string {
  if (usd > 0 && usd < SMALL_USD) {
    const first = Number(usd.toPrecision(1));
    return `$${first.toFixed(Math.ceil(-Math.log10(first)))}`;
  }
  return `$${usd === 0 || usd >= TEN_CENTS ? usd.toFixed(2) : usd.toFixed(4)}`;
}

/** Amounts that stand in one column, with as many digits as the least of them needs, and what these digits add up to. */
export function dollarsTogether(usds: readonly number[]): Together {
  const least = usds.reduce((less, usd) => (usd > 0 ? Math.min(less, usd) : less), Infinity);
  const digits = DIGITS.find((each) => least >= TEN_UNITS / 10 ** each) ?? MOST_DIGITS;
  const text = (usd: number) => `$${usd.toFixed(digits)}`;
  return { text, sum: text(usds.reduce((sum, usd) => sum + Number(usd.toFixed(digits)), 0)) };
}

export type Together = Readonly<{ text: (usd: number) => string; sum: string }>;

const MOST_DIGITS = 6;
const DIGITS = [2, 4, MOST_DIGITS];
/** Of the last digit: what is less would be too coarse. */
const TEN_UNITS = 10;

/** Money for scripts: a decimal string. */
export function decimal(usd: number): string {
  return usd.toFixed(6);
}

const TEN_CENTS = 0.1;
const SMALL_USD = 0.0001;

const MINUTE_CHARS = "2026-11-22T10:00".length;

/** `2026-11-22 10:00`: in UTC, as all times that are told. */
export function minute(time: string | number | Date): string {
  // a time of ours: a long list has tens of thousands
  const text = typeof time === "string" && time.endsWith("Z") ? time : new Date(time).toISOString();
  return text.slice(0, MINUTE_CHARS).replace("T", " ");
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];
const BYTES_STEP = 1000;

/** `1,234,567`. */
export function count(value: number): string {
  // a long list has hundreds of thousands of figures, over which the system's formatter takes a second
  return Number.isSafeInteger(value) && value >= 0
    ? grouped(String(value))
    : value.toLocaleString("en");
}

const GROUP_DIGITS = 3;

function grouped(digits: string): string {
  const first = digits.length % GROUP_DIGITS || GROUP_DIGITS;
  let text = digits.slice(0, first);
  for (let at = first; at < digits.length; at += GROUP_DIGITS) {
    text += `,${digits.slice(at, at + GROUP_DIGITS)}`;
  }
  return text;
}

/** `1 row`, `1,234 rows`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${value === 1 ? noun : plural(noun)}`;
}

/** Of the nouns that are counted here. */
function plural(noun: string): string {
  if (/(?:ch|x)$/.test(noun)) return `${noun}es`;
  return /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
}

/** `0001`, `0001 and 12 more`. */
export function someJobs([first, ...more]: readonly string[]): string {
  return more.length === 0 ? `${first}` : `${first} and ${count(more.length)} more`;
}

/** `12.3 MB`. */
export function bytes(value: number): string {
  let rest = value;
  let unit = 0;
  // 999.95 and more would be printed as 1000.0
  while (rest >= BYTES_STEP - 0.05 && unit < BYTE_UNITS.length - 1) {
    rest /= BYTES_STEP;
    unit += 1;
  }
  return `${unit === 0 ? rest : rest.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

const SECONDS_PER_MINUTE = 60;
const SECONDS_PER_HOUR = 3600;

/** Slow work is told by the minute or by the hour. */
export function pace(rowsPerSecond: number): string {
  if (rowsPerSecond >= 1) return `${counted(Math.round(rowsPerSecond), "row")} a second`;
  const perMinute = rowsPerSecond * SECONDS_PER_MINUTE;
  return perMinute >= 1
    ? `${counted(Math.round(perMinute), "row")} a minute`
    : `${counted(Math.ceil(rowsPerSecond * SECONDS_PER_HOUR), "row")} an hour`;
}

/** As exact as a guess can be: to the minute, past an hour to five, past ten to the hour. */
export function roughly(seconds: number): string {
  const step =
    seconds < SECONDS_PER_HOUR
      ? SECONDS_PER_MINUTE
      : seconds < 10 * SECONDS_PER_HOUR
        ? 5 * SECONDS_PER_MINUTE
        : SECONDS_PER_HOUR;
  return duration(Math.max(step, Math.ceil(seconds / step) * step));
}

/** Two digits; 100 only when nothing is left. */
export function percent(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.floor((part / whole) * 10_000) / 100;
}

const DURATION_UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
] as const;

/** `2 d 4 h`, `3 min 5 s`, `0 s`: the two largest units, the second only when it is not zero. */
export function duration(seconds: number): string {
  let rest = Math.max(0, Math.round(seconds));
  const first = DURATION_UNITS.findIndex(([, length]) => rest >= length);
  const words = DURATION_UNITS.slice(first, first + 2).flatMap(([unit, length]) => {
    const whole = Math.floor(rest / length);
    rest -= whole * length;
    return whole === 0 ? [] : [`${whole} ${unit}`];
  });
  return first === -1 ? "0 s" : words.join(" ");
}
