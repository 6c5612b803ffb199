import { createHash } from "node:crypto";

/** As a key has it, of a text in UTF-8. */
export function fingerprint(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** The same in SQL, of an expression. */
export function fingerprintSql(text: string): string {
  return `left(encode(sha256(convert_to(${text}, 'UTF8')), 'hex'), 32)`;
}

/** As jobs of earlier versions have it. */
export function olderFingerprint(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

/** Their md5 is the same; found by M. Stevens, 2024. */
export const MD5_TWINS = [
  "TEXTCOLLBYfGiJUETHQ4hAcKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak",
  "TEXTCOLLBYfGiJUETHQ4hEcKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak",
] as const;
