/**
 * Charts without a script: shapes as SVG that stretches to any width, words as HTML, so that they
 * keep their size on a phone.
 */
import { count, minute } from "../../words/figures.ts";
import { Html, html } from "./html.ts";
import type { Point, Series } from "./series.ts";

type Line = Readonly<{ name: string; className: string; series: Series }>;

type Chart = Readonly<{
  /** For readers of the screen. */
  label: string;
  lines: readonly Line[];
  fromMs: number;
  toMs: number;
  /** Drawn as a dashed line. */
  limit?: Readonly<{ name: string; value: number }>;
}>;

const WIDTH = 1000;
const HEIGHT = 240;
/** Over the highest line. */
const HEADROOM = 1.08;

/** Values stay the same from one point to the next, so the lines have steps. */
export function stepChart({ label, lines, fromMs, toMs, limit }: Chart): Html {
  const highest = Math.max(
    1,
    limit?.value ?? 0,
    ...lines.flatMap(({ series }) => series.map(valueOf)),
  );
  const top = highest * HEADROOM;
  const scale = scaleOf(fromMs, toMs, top);
  return html`<figure class="chart">
    <figcaption>${legend(lines, limit)}</figcaption>
    <div class="plot">
      <div class="y"><span>${count(Math.round(highest))}</span><span>0</span></div>
      <svg
        viewBox="0 0 ${WIDTH} ${HEIGHT}"
        preserveAspectRatio="none"
        role="img"
        aria-label="${label}"
      >
        ${grid()} ${lines.map((line) => shape(line, scale))}
        ${limit === undefined ? "" : limitLine(scale.y(limit.value))}
      </svg>
      <div class="x"><span>${minute(fromMs)}</span><span>${minute(toMs)}</span></div>
    </div>
  </figure>`;
}

function valueOf({ value }: Point): number {
  return value;
}

type Scale = Readonly<{ x: (atMs: number) => number; y: (value: number) => number; endX: number }>;

function scaleOf(fromMs: number, toMs: number, top: number): Scale {
  const spanMs = Math.max(1, toMs - fromMs);
  return {
    x: (atMs) => round(((atMs - fromMs) / spanMs) * WIDTH),
    y: (value) => round(HEIGHT - (value / top) * HEIGHT),
    endX: WIDTH,
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function shape({ className, series }: Line, { x, y, endX }: Scale): Html {
  const steps = series.map(({ atMs, value }) => `H${x(atMs)}V${y(value)}`).join("");
  const path = `M0 ${y(0)}${steps}H${endX}`;
  return html`<path class="area ${className}" d="${path}V${HEIGHT}H0Z" />
    <path class="line ${className}" d="${path}" />`;
}

const GRID_LINES = 4;

function grid(): Html[] {
  return Array.from({ length: GRID_LINES - 1 }, (_, at) => {
    const y = ((at + 1) * HEIGHT) / GRID_LINES;
    return html`<path class="grid" d="M0 ${y}H${WIDTH}" />`;
  });
}

function limitLine(y: number): Html {
  return html`<path class="limit" d="M0 ${y}H${WIDTH}" />`;
}

function legend(lines: readonly Line[], limit: Chart["limit"]): Html[] {
  const keys = lines.map(
    ({ name, className, series }) =>
      html`<span class="key ${className}">${name}: ${count(series.at(-1)?.value ?? 0)}</span>`,
  );
  if (limit === undefined) return keys;
  return [...keys, html`<span class="key dashed">${limit.name}: ${count(limit.value)}</span>`];
}
