/** What faults and behaviours are given as: `name=value,name,name=value`. */
import { byNearness, usageError, UserError } from "../../errors.ts";

const SHOWN = 3;

export type GivenPart = readonly [name: string, value: string | undefined];

export function givenParts(text: string): GivenPart[] {
  return text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const [name = "", value] = part.split("=").map((side) => side.trim());
      return [name, value];
    });
}

export function unknownName(what: string, given: string, valid: readonly string[]): UserError {
  const near = byNearness(given, valid).slice(0, SHOWN);
  return usageError(
    `The emulator knows no ${what} named "${given}".`,
    `Nearest: ${near.map(({ candidate }) => candidate).join(", ")}. vecfill emulator --help lists all.`,
  );
}
