import { draw } from "../src/emulator/faults/hash.ts";

/** Random choices that a seed gives again. */
export class Dice {
  readonly #seed: number;
  readonly #name: string;
  #throws = 0;

  /** Dice of another name fall otherwise, so that one part's choices do not shift another's. */
  constructor(seed: number, name: string) {
    this.#seed = seed;
    this.#name = name;
  }

  /** In [0, 1). */
  share(): number {
    this.#throws += 1;
    return draw(this.#seed, this.#name, this.#throws);
  }

  chance(share: number): boolean {
    return this.share() < share;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.share() * (most - least + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return this.pickBy(choices, () => 1);
  }

  /** The heavier, the likelier. */
  pickBy<T>(choices: readonly T[], weightOf: (choice: T) => number): T {
    const total = choices.reduce((sum, choice) => sum + weightOf(choice), 0);
    let left = this.share() * total;
    for (const choice of choices) {
      left -= weightOf(choice);
      if (left < 0) return choice;
    }
    const last = choices.at(-1);
    if (last === undefined) throw new Error("there is nothing to choose from");
    return last;
  }

  /** Each of them with the same chance, in their order. */
  some<T>(choices: readonly T[], share: number): T[] {
    return choices.filter(() => this.chance(share));
  }
}
