import type { WriteTrial } from "../port.ts";

/** `why`, in words. */
export function untried(why: string): WriteTrial {
  return { tried: 0, refusal: undefined, withoutKey: 0, untried: why };
}
