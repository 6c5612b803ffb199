/** What an option is, and the kinds there are. The table of them all is `options.ts`. */
import { MS_PER_SECOND } from "../clock.ts";
import { count } from "../words/figures.ts";

/** In the order in which the help lists them. */
export const COMMAND_NAMES = [
  "plan",
  "run",
  "export",
  "submit",
  "poll",
  "import",
  "resubmit",
  "cancel",
  "recover",
  "verify",
  "search",
  "rollback",
  "clean",
  "status",
  "jobs",
  "worker",
  "manifest",
  "report",
  "migrate",
  "init",
  "config",
  "doctor",
  "emulator",
  "completion",
] as const;

export type CommandName = (typeof COMMAND_NAMES)[number];

type OptionGroup =
  | "Target"
  | "Jobs"
  | "Cost"
  | "Quota and waiting"
  | "Set-up"
  | "Emulator"
  | "Output"
  | "Files";

/** A checked value, or what is wrong with it, to follow the words "--limit is wrong: ". */
type Checked<T> = Readonly<{ value: T }> | Readonly<{ wrong: string }>;

/** What a flag, a variable or a config file can hold. */
export type Given = string | number | boolean;

export type Option<T> = Unnamed<T> &
  Readonly<{
    /** Without the dashes. The variable and the config key are made from it. */
    flag: string;
  }>;

/** Its name is that in the table. */
export type Unnamed<T> = Readonly<{
  /** What stands for its value in the help, `<rows>`; undefined: a switch, which takes none. */
  value: string | undefined;
  describe: string;
  /** The default in words. Undefined: there is none, or `describe` says it. */
  defaultText: string | undefined;
  default: T;
  group: OptionGroup;
  /** Whose flag it is; from variables and the config file every command gets it. */
  commands: readonly CommandName[];
  /** The words it may be; undefined where it may be anything. */
  choices: readonly string[] | undefined;
  /** False for what is settled before the config file is read. */
  inConfigFile: boolean;
  /** What only a person may set, no file that was found: what runs a command, or writes to any place. */
  power: "runs" | "writes" | undefined;
  check: (given: Given) => Checked<T>;
}>;

/** Longest name that Postgres keeps; it cuts longer ones silently. */
const IDENTIFIER_BYTES_MAX = 63;
const TEXT_CHARS_MAX = 10_000;
/** 30 days. */
const SECONDS_MAX = 2_592_000;
const DOLLARS_MAX = 1_000_000;
const SECONDS_PER_HOUR = 3600;
const TRUE_WORDS: readonly Given[] = [true, "true", "1", "yes", "on"];
const FALSE_WORDS: readonly Given[] = [false, "false", "0", "no", "off"];

type Table = Readonly<Record<string, Unnamed<unknown>>>;
type Named<O> = { readonly [K in keyof O]: O[K] & Readonly<{ flag: string }> };

/** `pollIntervalMs` is given as `--poll-interval`, and `manifestIn` as `--manifest`. */
export function named<O extends Table>(table: O): Named<O> {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, unnamed]) => [name, { ...unnamed, flag: flagOf(name) }]),
  );
  if (!haveNames(table, options)) throw new Error("an option got no name");
  return options;
}

function haveNames<O extends Table>(table: O, options: Table): options is Named<O> {
  return Object.keys(table).every((name) => name in options);
}

function flagOf(name: string): string {
  return name
    .replace(/(?:Ms|In)$/, "")
    .replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

type Described<D> = Readonly<{
  default: D;
  describe: string;
  group: OptionGroup;
  commands: readonly CommandName[];
  inConfigFile?: boolean;
  power?: "runs" | "writes";
  value?: string;
}>;

function option<T, D extends T | undefined>(
  described: Described<D>,
  rest: Pick<Unnamed<T>, "check"> & Partial<Pick<Unnamed<T>, "value" | "defaultText" | "choices">>,
): Unnamed<T | D> {
  return {
    inConfigFile: true,
    power: undefined,
    value: "<text>",
    defaultText: undefined,
    choices: undefined,
    ...rest,
    ...described,
  };
}

export function text<D extends string | undefined>(described: Described<D>): Unnamed<string | D> {
  const defaultText = described.default === "" ? undefined : described.default;
  return option<string, D>(described, { check: checkText, defaultText });
}

function checkText(given: Given): Checked<string> {
  if (typeof given !== "string") return { wrong: `${given} is not text` };
  if (given.trim() === "") return { wrong: "it is empty" };
  if (given.includes("\0")) return { wrong: "it holds a zero byte" };
  if (given.length > TEXT_CHARS_MAX) return { wrong: `it is over ${TEXT_CHARS_MAX} characters` };
  return { value: given };
}

/** The name of a schema, a table or a column. */
export function identifier(described: Described<string>): Unnamed<string> {
  return { ...text({ value: "<name>", ...described }), check: checkIdentifier };
}

function checkIdentifier(given: Given): Checked<string> {
  return Buffer.byteLength(String(given)) > IDENTIFIER_BYTES_MAX
    ? { wrong: `a name in Postgres has at most ${IDENTIFIER_BYTES_MAX} bytes` }
    : checkText(given);
}

/** US dollars, with or without the sign in front. */
export function dollars<D extends number | undefined>(
  described: Described<D>,
): Unnamed<number | D> {
  const defaultText = described.default?.toString();
  return option<number, D>(described, { check: checkDollars, defaultText, value: "<dollars>" });
}

/** Dollars, or one word in their place. */
export function dollarsOr<const W extends string>(
  word: W,
  described: Described<undefined>,
): Unnamed<number | W | undefined> {
  const inDollars = dollars(described);
  return {
    ...inDollars,
    check: (given) => (given === word ? { value: word } : inDollars.check(given)),
  };
}

function checkDollars(given: Given): Checked<number> {
  const value = toNumber(typeof given === "string" ? given.replace(/^\$/, "") : given);
  return value === undefined || value < 0 || value > DOLLARS_MAX
    ? { wrong: `${given} is not a number of dollars from 0 to ${DOLLARS_MAX.toLocaleString("en")}` }
    : { value };
}

export function choice<const C extends string>(
  described: Described<NoInfer<C>> & { choices: readonly C[] },
): Unnamed<C>;
export function choice<const C extends string>(
  described: Described<undefined> & { choices: readonly C[] },
): Unnamed<C | undefined>;
export function choice<C extends string>(
  described: Described<C | undefined> & { choices: readonly C[] },
): Unnamed<C | undefined> {
  const { choices, ...rest } = described;
  const check = (given: Given): Checked<C> => {
    // in the config file a number may stand for a word of digits
    const value = choices.find((one) => one === String(given));
    return value === undefined
      ? { wrong: `${given} is not one of ${choices.join(", ")}` }
      : { value };
  };
  const describe = `${described.describe}: ${choices.join(", ")}`;
  const kind = { check, defaultText: described.default, choices, value: "<word>" };
  return option<C, C | undefined>({ ...rest, describe }, kind);
}

/** Several of them, with commas between. */
export function severalOf<const C extends string>(
  described: Described<undefined> & { choices: readonly C[] },
): Unnamed<readonly C[] | undefined> {
  const { choices: known, ...rest } = described;
  const check = (given: Given): Checked<readonly C[]> => {
    const names = String(given).split(",");
    const values = names.flatMap((name) => known.filter((one) => one === name.trim()));
    const wrong = names.find((name) => !known.some((one) => one === name.trim()));
    return wrong === undefined
      ? { value: values }
      : { wrong: `${wrong} is not one of ${known.join(", ")}` };
  };
  const describe = `${described.describe}: ${known.join(", ")}`;
  return option<readonly C[], undefined>({ ...rest, describe }, { check, value: "<words>" });
}

/** A number from 0 up. */
export function amount<D extends number | undefined>(described: Described<D>): Unnamed<number | D> {
  const defaultText = described.default?.toString();
  return option<number, D>(described, { check: checkAmount, defaultText, value: "<number>" });
}

function checkAmount(given: Given): Checked<number> {
  const value = toNumber(given);
  return value === undefined || value < 0
    ? { wrong: `${given} is not a number from 0 up` }
    : { value };
}

type Range = Readonly<{ min: number; max: number }>;

export function wholeNumber<D extends number | undefined>(
  described: Described<D> & Range,
): Unnamed<number | D> {
  const { min, max, ...rest } = described;
  const check = (given: Given): Checked<number> => {
    const value = toNumber(given);
    return value === undefined || !Number.isSafeInteger(value) || value < min || value > max
      ? { wrong: `${given} is not a whole number ${within({ min, max })}` }
      : { value };
  };
  const defaultText = rest.default === undefined ? undefined : count(rest.default);
  return option<number, D>(rest, { check, defaultText, value: "<number>" });
}

/** A whole number, or one word in its place. */
export function wholeNumberOr<const W extends string>(
  word: W,
  described: Described<undefined> & Range,
): Unnamed<number | W | undefined> {
  const number = wholeNumber(described);
  return { ...number, check: (given) => (given === word ? { value: word } : number.check(given)) };
}

/** Seconds for people, milliseconds inside. */
export function seconds<D extends number | undefined>(
  described: Described<D> & Pick<Range, "min">,
): Unnamed<number | D> {
  return time(described, { name: "seconds", ms: MS_PER_SECOND, max: SECONDS_MAX });
}

/** Hours for people, milliseconds inside. */
export function hours<D extends number | undefined>(
  described: Described<D> & Pick<Range, "min">,
): Unnamed<number | D> {
  const ms = MS_PER_SECOND * SECONDS_PER_HOUR;
  return time(described, { name: "hours", ms, max: SECONDS_MAX / SECONDS_PER_HOUR });
}

type TimeUnit = Readonly<{ name: string; ms: number; max: number }>;

function time<D extends number | undefined>(
  { min, ...rest }: Described<D> & Pick<Range, "min">,
  { name, ms, max }: TimeUnit,
): Unnamed<number | D> {
  const check = (given: Given): Checked<number> => {
    const value = toMs(given, ms);
    return value === undefined || value < min * ms || value > max * ms
      ? {
          wrong: `${given} is not a number of ${name} ${within({ min, max })}, nor a time such as 10m or 2h`,
        }
      : { value };
  };
  const defaultText = rest.default === undefined ? undefined : `${rest.default / ms}`;
  return option<number, D>(rest, { check, defaultText, value: `<${name}>` });
}

function within({ min, max }: Range): string {
  return max === Number.MAX_SAFE_INTEGER
    ? `from ${min} up`
    : `from ${min} to ${max.toLocaleString("en")}`;
}

/** As people write numbers, and as the tool prints them: `1,000` too. */
function toNumber(given: Given): number | undefined {
  if (typeof given === "number") return Number.isFinite(given) ? given : undefined;
  if (typeof given !== "string") return undefined;
  const digits = /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(given) ? given.replaceAll(",", "") : given;
  return /^-?\d+(\.\d+)?$/.test(digits) ? Number(digits) : undefined;
}

const UNITS_MS = new Map([
  ["s", MS_PER_SECOND],
  ["m", 60 * MS_PER_SECOND],
  ["h", MS_PER_SECOND * SECONDS_PER_HOUR],
  ["d", 24 * MS_PER_SECOND * SECONDS_PER_HOUR],
]);

/** `90`, in the option's own unit, or `90s`, `10m`, `2h`, `1d`. */
function toMs(given: Given, ownMs: number): number | undefined {
  const unitMs = typeof given === "string" ? UNITS_MS.get(given.slice(-1)) : undefined;
  const value = toNumber(unitMs === undefined ? given : String(given).slice(0, -1));
  return value === undefined ? undefined : Math.round(value * (unitMs ?? ownMs));
}

/** A switch: a bare flag on the command line, `1` or `0` in the environment; off where nothing is said. */
export function toggle(
  described: Omit<Described<boolean>, "default"> & Readonly<{ default?: boolean }>,
): Unnamed<boolean> {
  const kind = { check: checkToggle, value: undefined };
  return option<boolean, boolean>({ default: false, ...described }, kind);
}

function checkToggle(given: Given): Checked<boolean> {
  if (TRUE_WORDS.includes(given)) return { value: true };
  if (FALSE_WORDS.includes(given)) return { value: false };
  return { wrong: `${given} is neither true nor false` };
}
