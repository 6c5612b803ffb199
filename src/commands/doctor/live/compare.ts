/** The same questions to the service and to the emulator; where they differ, the emulator is wrong. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../../clock.ts";
import type { Probe } from "../../../gemini/port.ts";
import { askLive, type Finding } from "./live.ts";
import type { LiveServices } from "./live-service.ts";

export type Comparison = Readonly<{
  question: string;
  service: string;
  /** Undefined where it was not asked this, since it went another way before. */
  emulator: string | undefined;
  differs: boolean;
}>;

export type CompareServices = Readonly<{
  service: Probe;
  emulator: Probe;
  /** Keeps the service's exchanges; the emulator's are no news. */
  keep: LiveServices["keep"];
  clock: Clock;
  signal: AbortSignal;
}>;

export type CompareOptions = Readonly<{ model: string; pollMs: number; timeoutMs: number }>;

const EMULATOR_POLL_MS = 100;
const NAME_BYTES = 4;

export async function compareWithEmulator(
  { service, emulator, keep, clock, signal }: CompareServices,
  options: CompareOptions,
): Promise<Comparison[]> {
  const prefix = `vecfill-doctor-${randomBytes(NAME_BYTES).toString("hex")}`;
  const asked = { prefix, ...options };
  const found = await askLive({ probe: service, clock, signal, keep }, asked);
  const expected = await askLive(
    { probe: emulator, clock, signal, keep: async () => {} },
    { ...asked, pollMs: EMULATOR_POLL_MS },
  );
  return found.map((each) => compared(each, expected));
}

function compared({ question, answer }: Finding, expected: readonly Finding[]): Comparison {
  const emulator = expected.find((each) => each.question === question)?.answer;
  return { question, service: answer, emulator, differs: emulator !== answer };
}
