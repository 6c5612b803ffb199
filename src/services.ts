/**
 * The composition root: picks the adapters for the settings, and loads each only when a command
 * asks for it. Only `cli.ts` imports this file.
 */
import { databaseAccess, geminiAccess, keyIdOf } from "./access.ts";
import type { Clock } from "./clock.ts";
import type { Configuration } from "./config.ts";
import type { Gemini } from "./gemini/port.ts";
import type { Manifest } from "./job/manifest.ts";
import type { Report } from "./report.ts";
import type { Store } from "./store/port.ts";
import { sameTarget, type Target } from "./target.ts";
import { keepYoungMemorySmall } from "./young-memory.ts";

/** Whatever is asked for is opened once and closed when the command ends. */
export type Services = Readonly<{
  /** Takes the lock of the jobs folder. */
  manifest(): Promise<Manifest>;
  /** Repeats what fails, but for the create request. */
  gemini(): Promise<Gemini>;
  /** Names the key without telling it, as the manifest records it. */
  keyId(): string;
  /** Repeats what fails. Stores of several targets share the database; do not close them. */
  store(target: Target): Promise<Store>;
  close(): Promise<void>;
}>;

export type ServicesOptions = Pick<Configuration, "settings" | "environment"> &
  Readonly<{ clock: Clock; report: Report; signal: AbortSignal }>;

export function openServices(options: ServicesOptions): Services {
  const { settings, environment, clock, report, signal } = options;
  const closers: (() => Promise<void>)[] = [];
  const stores: { target: Target; store: Store }[] = [];
  const opened = <T extends { close(): Promise<void> }>(service: T): T => {
    closers.push(() => service.close());
    return service;
  };
  const database = once(async () => {
    const { url } = databaseAccess(environment);
    const { openDatabase } = await import("./store/open.ts");
    // rows are about to pass through
    keepYoungMemorySmall();
    return opened(await openDatabase({ url: url.reveal() }));
  });
  return {
    manifest: once(async () => {
      const { openManifest } = await import("./job/manifest.ts");
      return opened(await openManifest(settings.jobsDir, clock));
    }),
    gemini: once(() => openGemini(options)),
    keyId: () => {
      const { apiKey, baseUrl } = geminiAccess(environment);
      return keyIdOf(apiKey, baseUrl);
    },
    store: async (target) => {
      const known = stores.find((each) => sameTarget(each.target, target));
      if (known !== undefined) return known.store;
      const { createSqlStore } = await import("./store/sql-store.ts");
      const { withRetry } = await import("./store/retry.ts");
      const plain = createSqlStore(await database(), target, { where: settings.where });
      const store = withRetry(plain, { clock, report, signal });
      stores.push({ target, store });
      return store;
    },
    close: async () => {
      await Promise.all(closers.splice(0).map((close) => close()));
    },
  };
}

async function openGemini({ environment, clock, report }: ServicesOptions): Promise<Gemini> {
  const { apiKey, baseUrl, warnings } = geminiAccess(environment);
  for (const message of warnings) report({ type: "warning", message, hint: undefined });
  const { connectGemini } = await import("./gemini/client.ts");
  const { retryingGemini } = await import("./gemini/retry.ts");
  return retryingGemini(connectGemini({ apiKey: apiKey.reveal(), baseUrl, clock }), clock, report);
}

/** The first call opens it; the others get the same. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opening: Promise<T> | undefined;
  return () => (opening ??= open());
}
