/**
 * Reproducible randomness: everything the emulator makes up (vectors, faults, odd nanoseconds)
 * comes from hashes of what it was given, so that the same run can be had again.
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const TWO_TO_THE_32 = 2 ** 32;

/** 32 bits of FNV-1a over UTF-16 code units, mixed so that near texts get far hashes. */
export function hash32(text: string, seed: number): number {
  let hash = FNV_OFFSET ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  return mixed(hash);
}

/** A number in [0, 1) that depends on the seed and on every part. */
export function draw(seed: number, ...parts: readonly (string | number)[]): number {
  return hash32(parts.join("\u0000"), mixed(seed)) / TWO_TO_THE_32;
}

/** Fills `target` with noise in [-1, 1) from a 64-bit seed (sfc32). A longer target starts alike. */
export function fillNoise(target: Float32Array, seedA: number, seedB: number): void {
  let a = seedA | 0;
  let b = seedB | 0;
  let c = a ^ b ^ FNV_OFFSET;
  let counter = 1;
  for (let i = 0; i < target.length; i++) {
    const next = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + next;
    target[i] = next / (TWO_TO_THE_32 / 2);
  }
}

function mixed(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
