/** HTML that is safe by its type: text is escaped where it goes in, and only markup made here goes in as it is. */
export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

type Part = string | number | Html | readonly Html[];

/** A template whose values are escaped, unless they are `Html` themselves. */
export function html(pieces: TemplateStringsArray, ...values: readonly Part[]): Html {
  const markup = pieces.map((piece, at) => {
    const value = values[at];
    return piece + (value === undefined ? "" : markupOf(value));
  });
  return new Html(markup.join(""));
}

function markupOf(value: Part): string {
  if (value instanceof Html) return value.markup;
  if (typeof value === "object") return value.map(({ markup }) => markup).join("\n");
  return escaped(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);
}
