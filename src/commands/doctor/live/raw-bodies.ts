/**
 * What was sent to the service and what came back, a file an exchange, for people to read. A gateway
 * may put the key into an address or a header of its answer, so all of it is redacted.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Exchange } from "../../../gemini/port.ts";
import { prepareFolder } from "../../../jobs-folder/files.ts";
import type { Redact } from "../../../settings/environment/secret.ts";

const FILE_MODE = 0o600;
const NUMBER_DIGITS = 3;

/** `001-<name>.http` and so on, in their order. The folder is made where there is none. */
export function rawBodies(
  folder: string,
  redact: Redact,
): (name: string, exchange: Exchange) => Promise<void> {
  let count = 0;
  return async (name, exchange) => {
    await prepareFolder(folder);
    count += 1;
    const file = `${String(count).padStart(NUMBER_DIGITS, "0")}-${name}.http`;
    await writeFile(join(folder, file), redact(formatExchange(exchange)), { mode: FILE_MODE });
  };
}

function formatExchange({ method, path, sent, status, headers, text }: Exchange): string {
  const received = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `${method} ${path}\n\n${sent}\n\nHTTP ${status}\n${received.join("\n")}\n\n${text}\n`;
}
