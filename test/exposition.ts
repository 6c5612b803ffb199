/** A parser of Prometheus' text format, as strict as Prometheus' own, and stricter where series would clash. */
export type Sample = Readonly<{
  name: string;
  /** As they are written: escaped. */
  labels: Readonly<Record<string, string>>;
  value: number;
}>;

const COMMENT = /^# (?<kind>HELP|TYPE) (?<name>[a-zA-Z_:][\w:]*) (?<rest>.+)$/;
const SAMPLE = /^(?<name>[a-zA-Z_:][\w:]*)(?:\{(?<labels>.*)\})? (?<value>\S+)$/;
const LABEL = /(?<key>[a-zA-Z_]\w*)="(?<text>(?:[^"\\\n]|\\["\\n])*)"(?:,|$)/g;

/** Throws at the first line that is wrong. */
export function parseExposition(text: string): Sample[] {
  const types = new Map<string, string>();
  const seen = new Set<string>();
  const samples: Sample[] = [];
  let current = "";
  demand(text.endsWith("\n"), "the last line has no end");
  for (const line of text.trimEnd().split("\n")) {
    const comment = COMMENT.exec(line)?.groups;
    if (comment?.["kind"] === "TYPE") {
      const { name = "", rest = "" } = comment;
      demand(["gauge", "counter"].includes(rest), `unknown type: ${line}`);
      demand(rest !== "counter" || name.endsWith("_total"), `a counter's name: ${line}`);
      demand(!types.has(name), `a second type: ${line}`);
      types.set(name, rest);
      current = name;
    }
    if (comment !== undefined) continue;
    const sample = parseSample(line);
    const series = `${sample.name}${JSON.stringify(sample.labels)}`;
    demand(sample.name === current, `not under its own type: ${line}`);
    demand(!seen.has(series), `stands twice: ${line}`);
    seen.add(series);
    samples.push(sample);
  }
  return samples;
}

function parseSample(line: string): Sample {
  const { name = "", labels = "", value = "" } = SAMPLE.exec(line)?.groups ?? {};
  const pairs = [...labels.matchAll(LABEL)];
  demand(name !== "", `no sample: ${line}`);
  demand(pairs.map(([whole]) => whole).join("") === labels, `bad labels: ${line}`);
  demand(Number.isFinite(Number(value)), `bad value: ${line}`);
  const entries = pairs.map(({ groups }) => [groups?.["key"] ?? "", groups?.["text"] ?? ""]);
  return { name, labels: Object.fromEntries(entries), value: Number(value) };
}

function demand(holds: boolean, why: string): void {
  if (!holds) throw new Error(why);
}
