/**
 * A hash that is drawn at random by each process, for the texts of all rows of an export. SHA-256 with a
 * salt took as long as a fifth of everything else that is done with a row, so texts of usual length get
 * a multilinear one (D. Lemire and O. Kaser, "Strongly universal string hashing is fast", 2014): each 16
 * bits of the text times a random number of their own, added up modulo 2^32, of which the upper 17 bits are kept.
 * For two texts, however they are chosen by somebody who does not know those numbers, the sums meet
 * with a chance of 2^-17; three independent ones with 2^-51.
 */
import { hash, randomBytes, randomFillSync } from "node:crypto";
import { MAX_BYTES_A_UNIT } from "../disk/durable-file.ts";

/** UTF-16 code units, and what they take at most in UTF-8. */
const MAX_LENGTH = 4096;
const MAX_BYTES = MAX_LENGTH * MAX_BYTES_A_UNIT;

const KEPT_BITS = 17;
const DROPPED_BITS = 32 - KEPT_BITS;
const TWO_POW_KEPT = 2 ** KEPT_BITS;

/** Of each sum: one number to begin with, one for the length, one for each 16 bits. */
const FIRST_PAIR = 2;
const [FIRST, SECOND, THIRD] = [randomFactors(), randomFactors(), randomFactors()];

const ROOM = Buffer.alloc(MAX_BYTES + 1);
const PAIRS = new Uint16Array(ROOM.buffer, ROOM.byteOffset, MAX_BYTES / 2);

const SALT = randomBytes(16).toString("hex");
/** 52 bits. */
const HEX_DIGITS = 13;

/** A whole number below 2^52. */
export function secretHash(text: string): number {
  // halves of surrogate pairs are all the same in UTF-8
  return text.length <= MAX_LENGTH && text.isWellFormed() ? multilinear(text) : salted(text);
}

function multilinear(text: string): number {
  const bytes = ROOM.write(text);
  ROOM[bytes] = 0;
  let a = sumOfLength(FIRST, bytes);
  let b = sumOfLength(SECOND, bytes);
  let c = sumOfLength(THIRD, bytes);
  for (let at = 0; at * 2 < bytes; at += 1) {
    const pair = PAIRS[at] ?? 0;
    a = (a + Math.imul(FIRST[at + FIRST_PAIR] ?? 0, pair)) | 0;
    b = (b + Math.imul(SECOND[at + FIRST_PAIR] ?? 0, pair)) | 0;
    c = (c + Math.imul(THIRD[at + FIRST_PAIR] ?? 0, pair)) | 0;
  }
  return (kept(a) * TWO_POW_KEPT + kept(b)) * TWO_POW_KEPT + kept(c);
}

/** The length is hashed too, so that a text is told from the same one with zeroes behind it. */
function sumOfLength(factors: Int32Array, bytes: number): number {
  return ((factors[0] ?? 0) + Math.imul(factors[1] ?? 0, bytes)) | 0;
}

function kept(sum: number): number {
  return sum >>> DROPPED_BITS;
}

function randomFactors(): Int32Array {
  return randomFillSync(new Int32Array(FIRST_PAIR + MAX_BYTES / 2));
}

function salted(text: string): number {
  return Number.parseInt(hash("sha256", SALT + JSON.stringify(text)).slice(0, HEX_DIGITS), 16);
}
