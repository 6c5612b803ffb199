/** The emulator as others know it: a program of its own, for trying out and rehearsals. */
import { setTimeout as delay } from "node:timers/promises";
import type { Emulator } from "./emulator.ts";
import type { EmulatorOptions } from "./faults/emulator-options.ts";

export {
  DEFAULTS as EMULATOR_DEFAULTS,
  type EmulatorOptions,
  TIERS,
} from "./faults/emulator-options.ts";
export { describeBehaviours } from "./faults/behaviour.ts";
export { describeFaults } from "./faults/faults.ts";
export { TOKENIZERS } from "./faults/token-count.ts";

const LOOK_MS = 60_000;

export type Served = Readonly<{
  batches: number;
  requestsPaidFor: number;
  paidMoreThanOnce: number;
  textsEmbeddedAtOnce: number;
  text: string;
}>;

/** Serves until the signal aborts; resolves to what was paid for. */
export async function serveEmulator(
  options: EmulatorOptions,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<Served> {
  const { startEmulator } = await import("./emulator.ts");
  const emulator = await startEmulator(options);
  try {
    print(`The emulator listens on ${emulator.url}, its state is in ${emulator.folder}.`);
    print("Set these for vecfill, or for any other client:");
    print(`export GOOGLE_GEMINI_BASE_URL=${emulator.url}`);
    print("export GEMINI_API_KEY=anything");
    await aborted(signal);
    return await served(emulator);
  } finally {
    await emulator.close();
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
}

async function served(emulator: Emulator): Promise<Served> {
  const batches = emulator.batches();
  const bill: number[] = [];
  // who goes over to another model pays for the same rows once more
  for (const model of new Set(batches.map((batch) => batch.model)))
    bill.push(...(await emulator.billing(model)).values());
  const paidMoreThanOnce = bill.filter((times) => times > 1).length;
  const textsEmbeddedAtOnce = [...emulator.paidTexts().values()].reduce(
    (sum, times) => sum + times,
    0,
  );
  const atOnce =
    textsEmbeddedAtOnce === 0 ? "" : ` Texts embedded at once: ${textsEmbeddedAtOnce}.`;
  const line = `Batches created: ${batches.length}. Requests paid for: ${bill.length}, of these more than once: ${paidMoreThanOnce}.${atOnce}`;
  const counts = { batches: batches.length, requestsPaidFor: bill.length, paidMoreThanOnce };
  return { ...counts, textsEmbeddedAtOnce, text: line };
}
