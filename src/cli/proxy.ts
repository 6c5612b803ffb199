/** HTTPS_PROXY and NO_PROXY, as other programs follow them. */
import http from "node:http";
import { usageError } from "../errors.ts";

/** What is on this machine, such as the emulator, is no proxy's matter. */
const LOCAL = ["localhost", "127.0.0.1", "::1"];

/** Without a warning they are followed, or none is set. `release` sends requests as before. */
type Proxied = Readonly<{ warning?: string; release?: () => void }>;

/** For the whole process. The real environment alone is asked: what is sent passes through there. */
export function useProxy(env: NodeJS.ProcessEnv, node: object = http): Proxied {
  const named = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].find(
    (name) => env[name],
  );
  if (named !== undefined && !URL.canParse(env[named] ?? "")) {
    throw usageError(
      `${named} is no address.`,
      `Set it to one such as http://proxy:3128, or unset it.`,
    );
  }
  // by that Node follows them itself, from its start on
  if (named === undefined || env["NODE_USE_ENV_PROXY"] === "1") return {};
  const set: unknown = Reflect.get(node, "setGlobalProxyFromEnv");
  if (typeof set !== "function") return { warning: notFollowed(named) };
  const NO_PROXY = [env["NO_PROXY"] ?? env["no_proxy"] ?? "", ...LOCAL].filter(Boolean).join(",");
  const restore: unknown = Reflect.apply(set, node, [{ ...env, NO_PROXY, no_proxy: NO_PROXY }]);
  if (typeof restore !== "function") return {};
  return { release: () => void Reflect.apply(restore, undefined, []) };
}

function notFollowed(name: string): string {
  return `${name} is set, and Node ${process.versions.node} does not follow it unless NODE_USE_ENV_PROXY=1 is set as well (from Node 22.21 on; from 24.14 on vecfill does that itself).`;
}
