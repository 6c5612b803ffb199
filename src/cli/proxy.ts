/** HTTPS_PROXY and NO_PROXY, as other programs follow them. */
import { usageError } from "../errors.ts";
import { PROXY_VARIABLES } from "../settings/access.ts";

/** What is on this machine, such as the emulator, is no proxy's matter. */
const LOCAL = ["localhost", "127.0.0.1", "::1"];

/** Without a warning they are followed, or none is set. `release` sends requests as before. */
type Proxied = Readonly<{ warning?: string; release?: () => void }>;

/** For the whole process. The real environment alone is asked: what is sent passes through there. */
export async function useProxy(env: NodeJS.ProcessEnv, node?: object): Promise<Proxied> {
  const named = PROXY_VARIABLES.find((name) => env[name]);
  // Node passes over what has another scheme, or none: without a proxy, and without a word
  if (named !== undefined && !isFollowed(env[named] ?? "")) {
    throw usageError(
      `${named} is no address of a proxy.`,
      `Set it to one such as http://proxy:3128, or unset it.`,
    );
  }
  // by that Node follows them itself, from its start on
  if (named === undefined || env["NODE_USE_ENV_PROXY"] === "1") return {};
  // to load it takes as long as all else of a short command
  const http = node ?? (await import("node:http")).default;
  const set: unknown = Reflect.get(http, "setGlobalProxyFromEnv");
  if (typeof set !== "function") return { warning: notFollowed(named) };
  const NO_PROXY = [env["NO_PROXY"] ?? env["no_proxy"] ?? "", ...LOCAL].filter(Boolean).join(",");
  const restore: unknown = Reflect.apply(set, http, [{ ...env, NO_PROXY, no_proxy: NO_PROXY }]);
  if (typeof restore !== "function") return {};
  return { release: () => void Reflect.apply(restore, undefined, []) };
}

function isFollowed(address: string): boolean {
  return /^https?:\/\//i.test(address) && URL.canParse(address);
}

function notFollowed(name: string): string {
  return `${name} is set, and Node ${process.versions.node} does not follow it unless NODE_USE_ENV_PROXY=1 is set as well (from Node 22.21 on; from 24.14 on vecfill does that itself).`;
}
