/**
 * A local Gemini Batch and Files API, a real HTTP server for the real client. What it promises:
 * - it is never more lenient than the service is known to be; where nobody has published what the
 *   service does, both ways can be chosen (behaviour.ts)
 * - vectors depend on the exact text alone, and near texts have near vectors (embedding.ts)
 * - faults come on demand and the same again for the same seed (faults.ts)
 * - what it answered it does not forget, also when it is killed (records.ts)
 * - it knows what was paid for, so that a test can ask whether anything was paid twice (ledger.ts)
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BatchRecord, stateName } from "./state/batch-record.ts";
import { BatchRuns } from "./batches/batch-runs.ts";
import { Faults } from "./faults/faults.ts";
import { dropExpiredFiles } from "./files/kept-files.ts";
import { billing } from "./state/ledger.ts";
import { DEFAULTS, type EmulatorOptions, type Settings } from "./faults/emulator-options.ts";
import type { RouteKind } from "./routes.ts";
import { EmulatorServer } from "./server.ts";
import { loadState, type State } from "./state/state.ts";
import { EmulatorTime } from "./faults/time.ts";
import { dropExpiredSessions } from "./files/uploads.ts";

type EmulatedBatch = Readonly<{
  /** `batches/…`. */
  name: string;
  displayName: string;
  /** `BATCH_STATE_…`. */
  state: string;
  model: string;
  requests: number;
  inputFile: string | undefined;
  project: string;
  deleted: boolean;
}>;

export type Emulator = Readonly<{
  /** What GOOGLE_GEMINI_BASE_URL is set to. */
  url: string;
  folder: string;
  /** Every batch ever created, also deleted ones, oldest first. */
  batches: () => EmulatedBatch[];
  /** How often each request key was paid for. */
  billing: (model?: string) => Promise<ReadonlyMap<string, number>>;
  /** Texts embedded through the interactive API since the start. */
  embeddedNow: () => number;
  /** How often each text was paid for there, over all the starts of this folder. */
  paidTexts: () => ReadonlyMap<string, number>;
  /** Creates refused since the start because their input file is not there. */
  createsOfGoneFiles: () => number;
  /** How many requests of a kind have come since the start. */
  calls: (kind: RouteKind) => number;
  /** Other faults from now on; batches that exist keep theirs. */
  setFaults: (faults: string) => void;
  /** Moves time on, and resolves when everything due by then has happened. */
  advance: (ms: number) => Promise<void>;
  /** Stops, and removes a temporary folder. */
  close: () => Promise<void>;
  /** Breaks every connection and stops, as if killed; the folder stays. */
  kill: () => Promise<void>;
}>;

/** Rejects with a UserError for faults or behaviours that are not in the tables. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { settings, isTemporary } = settingsOf(options);
  const time = new EmulatorTime(options);
  const state = loadState(settings, time);
  dropExpiredFiles(state);
  dropExpiredSessions(state);
  const runs = new BatchRuns(state);
  const server = new EmulatorServer(state, runs);
  const url = await server.listen(settings.host, settings.port);
  runs.tick();
  const kill = async (): Promise<void> => {
    await runs.stop();
    await server.close();
  };
  return {
    url,
    folder: settings.folder,
    batches: () => emulatedBatches(state),
    billing: (model) => billing(state, model),
    embeddedNow: () => state.embeddedNow,
    paidTexts: () => state.paidTexts.times,
    createsOfGoneFiles: () => state.createsOfGoneFiles,
    calls: (kind) => server.calls.get(kind) ?? 0,
    setFaults: (faults) => {
      state.faults = new Faults(faults, settings.seed);
    },
    advance: async (ms) => {
      time.advance(ms);
      await runs.settle();
    },
    kill,
    close: async () => {
      await kill();
      if (isTemporary) rmSync(settings.folder, { recursive: true, force: true });
    },
  };
}

function settingsOf(options: EmulatorOptions): { settings: Settings; isTemporary: boolean } {
  const { clock: _clock, frozen: _frozen, ...rest } = options;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "vecfill-emulator-"));
  return { settings: { ...DEFAULTS, ...rest, folder }, isTemporary: options.folder === undefined };
}

function emulatedBatches(state: State): EmulatedBatch[] {
  const nowMs = state.time.nowMs();
  return state.batches
    .all()
    .sort((a, b) => a.number - b.number)
    .map((batch: BatchRecord) => ({
      name: `batches/${batch.id}`,
      displayName: batch.displayName,
      state: stateName(batch, nowMs),
      model: batch.model,
      requests: batch.requests,
      inputFile: batch.inputFile === undefined ? undefined : `files/${batch.inputFile}`,
      project: batch.project,
      deleted: batch.deletedAtMs !== undefined,
    }));
}
