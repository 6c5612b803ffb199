// The numbers are read by WebAssembly that stands in the source in binary: is it what the readable
// source beside it says? After a change there: `npx vitest run test/result-line/usual-numbers.test.ts -u`.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import wabt from "wabt";

const SOURCE = fileURLToPath(
  new URL("../../../src/row/result-line/usual-numbers.wat", import.meta.url),
);

test("the binary is the assembled source", async () => {
  const assembler = await wabt();
  const module = assembler.parseWat(SOURCE, await readFile(SOURCE, "utf8"));
  const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
  module.destroy();
  await expect(
    `/** usual-numbers.wat, assembled: see test/result-line/usual-numbers.test.ts. */
export const USUAL_NUMBERS_WASM =
  "${base64}";
`,
  ).toMatchFileSnapshot("../../../src/row/result-line/usual-numbers-wasm.ts");
});
