/** What was embedded through the interactive API: a line a text, kept in the folder, and counted. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export class PaidTexts {
  readonly #path: string;
  readonly #times = new Map<string, number>();

  /** Counts what is there; the end of a line that a kill cut off was never answered. */
  constructor(folder: string) {
    this.#path = join(folder, "interactive.jsonl");
    if (!existsSync(this.#path)) return;
    const lines = readFileSync(this.#path, "utf8").split("\n").slice(0, -1);
    for (const line of lines) this.#count(String(JSON.parse(line)));
  }

  /** How often each text was paid for. */
  get times(): ReadonlyMap<string, number> {
    return this.#times;
  }

  /** Written before the answer leaves. */
  charge(texts: readonly string[]): void {
    appendFileSync(this.#path, texts.map((text) => `${JSON.stringify(text)}\n`).join(""));
    for (const text of texts) this.#count(text);
  }

  #count(text: string): void {
    this.#times.set(text, (this.#times.get(text) ?? 0) + 1);
  }
}
