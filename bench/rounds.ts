/** Contestants run in turns, several times, so that a slow moment of the machine hits them all. */

/** `run` does the work once and resolves to what it measured; what precedes it is not measured. */
export type Contestant = Readonly<{ name: string; run: () => Promise<Measured> }>;

/** More is better in a `rate`, less in a `cost`. */
type Measured = Readonly<{ value: number; size: string }>;

/** One line of the table. `ratio` is to the contestant that the others are held against. */
export type Row = Readonly<{
  name: string;
  size: string;
  median: number;
  least: number;
  most: number;
  unit: string;
  ratio: number;
}>;

export type Figure = Readonly<{ name: string; unit: string; rows: readonly Row[]; note?: string }>;

export async function secondsOf(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / MS;
}

const MS = 1000;

/** The first contestant is what the ratios are to. */
export async function alternate(
  figure: Readonly<{ name: string; unit: string; rounds: number; note?: string }>,
  contestants: readonly Contestant[],
): Promise<Figure> {
  const values = contestants.map((): number[] => []);
  const sizes = contestants.map(() => "");
  for (let round = 0; round < figure.rounds; round += 1) {
    for (const [place, { name, run }] of contestants.entries()) {
      const { value, size } = await run();
      values[place]?.push(value);
      sizes[place] = size;
      console.error(`${figure.name}, round ${round + 1}: ${name} ${shown(value)} ${figure.unit}`);
    }
  }
  const first = median(values[0] ?? []);
  const { name, unit, note } = figure;
  const rows = contestants.map((contestant, place) =>
    row(contestant.name, sizes[place] ?? "", values[place] ?? [], unit, first),
  );
  return note === undefined ? { name, unit, rows } : { name, unit, rows, note };
}

/** A line for what is measured once, beside nothing. */
export function once(name: string, size: string, value: number, unit: string): Row {
  return { name, size, unit, ratio: 1, median: value, least: value, most: value };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

export function shown(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

function row(
  name: string,
  size: string,
  values: readonly number[],
  unit: string,
  first: number,
): Row {
  const middle = median(values);
  return {
    name,
    size,
    median: middle,
    least: Math.min(...values),
    most: Math.max(...values),
    unit,
    ratio: middle / first,
  };
}
