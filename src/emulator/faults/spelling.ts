/** The three valid names nearest to what was typed. */
export function nearest(typed: string, valid: readonly string[]): string[] {
  const shown = 3;
  return [...valid].sort((a, b) => edits(typed, a) - edits(typed, b)).slice(0, shown);
}

/** Levenshtein distance. */
function edits(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}
