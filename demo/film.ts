/** Screens of a terminal, one after the other, as one SVG that moves: text, in the reader's light or dark. */

export type Shot = Readonly<{ text: string; seconds: number }>;

const CHAR_WIDTH = 7.5;
const LINE_HEIGHT = 17;
const FONT_SIZE = 12.5;
const COLUMNS = 80;
const MARGIN = 16;
const PERCENT = 100;

/** What is shown where nothing may move: the last screen. */
export function filmOf(shots: readonly Shot[], title: string): string {
  const lines = Math.max(...shots.map(({ text }) => text.split("\n").length));
  const width = COLUMNS * CHAR_WIDTH + 2 * MARGIN;
  const height = lines * LINE_HEIGHT + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}${motion(shots)}</style>`,
    `<rect width="${width}" height="${height}" rx="8"/>`,
    ...shots.map(({ text }, at) => `<g class="s${at}">${linesOf(text)}</g>`),
    "</svg>",
    "",
  ].join("\n");
}

const STYLE = [
  "rect{fill:#f6f8fa;stroke:#d1d9e0}",
  `text{font:${FONT_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}`,
  ".typed{font-weight:600;fill:#0550ae}",
  "@media (prefers-color-scheme:dark){rect{fill:#151b23;stroke:#3d444d}text{fill:#d1d7e0}.typed{fill:#79c0ff}}",
  "g{visibility:hidden}g:last-of-type{visibility:visible}",
].join("");

function motion(shots: readonly Shot[]): string {
  const total = shots.reduce((sum, { seconds }) => sum + seconds, 0);
  const starts = shots.map((_, at) =>
    shots.slice(0, at).reduce((sum, { seconds }) => sum + seconds, 0),
  );
  const rules = shots.map(({ seconds }, at) => {
    const from = ((starts[at] ?? 0) / total) * PERCENT;
    const to = (((starts[at] ?? 0) + seconds) / total) * PERCENT;
    const before = at === 0 ? "" : "0%{visibility:hidden}";
    const after = at === shots.length - 1 ? "" : `${to.toFixed(2)}%{visibility:hidden}`;
    return (
      `@keyframes s${at}{${before}${from.toFixed(2)}%{visibility:visible}${after}}` +
      `.s${at}{animation:s${at} ${total.toFixed(1)}s step-end infinite}`
    );
  });
  return `@media (prefers-reduced-motion:no-preference){${rules.join("")}}`;
}

function linesOf(text: string): string {
  return text
    .split("\n")
    .map((line, at) => (line === "" ? "" : lineOf(line, at)))
    .join("");
}

/** Its length is told, so that columns stand under each other in any font. */
function lineOf(line: string, at: number): string {
  const y = MARGIN + (at + 1) * LINE_HEIGHT - 4;
  const kind = line.startsWith("$ ") ? ' class="typed"' : "";
  const length = ` textLength="${line.length * CHAR_WIDTH}" lengthAdjust="spacingAndGlyphs"`;
  return `<text x="${MARGIN}" y="${y}" xml:space="preserve"${kind}${length}>${escaped(line)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
