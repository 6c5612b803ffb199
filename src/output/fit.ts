/** Text in a given number of columns of a terminal: wide characters take two. */
import stringWidth from "string-width";

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
const MORE = "…";

/** The text, cut so that it takes at most so many columns, between words where that leaves half of them; a mark says that it was cut. */
export function fit(text: string, columns: number): string {
  if (columns <= 0) return "";
  if (stringWidth(text) <= columns) return text;
  let cut = "";
  let width = 0;
  for (const { segment } of segmenter.segment(text)) {
    width += stringWidth(segment);
    if (width > columns - 1) break;
    cut += segment;
  }
  const at = cut.lastIndexOf(" ");
  return (at > columns / 2 ? cut.slice(0, at) : cut) + MORE;
}

export { default as textWidth } from "string-width";
