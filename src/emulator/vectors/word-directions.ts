/** The fixed random direction of each word in one space, remembered in bounded memory. */
import { fillNoise, hash32 } from "../faults/hash.ts";

const SECOND_SEED = 0x5bd1e995;
const GENERATION_BYTES = 16 * 1024 * 1024;
const SPACES_MAX = 8;

export function direction(name: string, space: number, dimensions: number): Float32Array {
  const noise = new Float32Array(dimensions);
  fillNoise(noise, hash32(name, space), hash32(name, space ^ SECOND_SEED));
  return noise;
}

/**
 * Two generations in place of a list by last use: when the young one is full it becomes the old
 * one, and what is asked for moves back. A hit costs one look-up.
 */
export class WordDirections {
  readonly #space: number;
  readonly #dimensions: number;
  readonly #wordsMax: number;
  #young = new Map<string, Float32Array>();
  #old = new Map<string, Float32Array>();

  constructor(space: number, dimensions: number) {
    this.#space = space;
    this.#dimensions = dimensions;
    this.#wordsMax = GENERATION_BYTES / (dimensions * Float32Array.BYTES_PER_ELEMENT);
  }

  of(word: string): Float32Array {
    const known = this.#young.get(word);
    if (known !== undefined) return known;
    const found = this.#old.get(word) ?? direction(`word ${word}`, this.#space, this.#dimensions);
    if (this.#young.size >= this.#wordsMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(word, found);
    return found;
  }
}

const spaces = new Map<string, WordDirections>();

export function wordDirections(space: number, dimensions: number): WordDirections {
  const name = `${space} ${dimensions}`;
  const known = spaces.get(name);
  if (known !== undefined) return known;
  if (spaces.size >= SPACES_MAX) spaces.clear();
  const made = new WordDirections(space, dimensions);
  spaces.set(name, made);
  return made;
}
