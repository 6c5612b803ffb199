// What if the results that come are not the results: a captive portal's page, an empty body, another
// job's file? Is the job's file waited for, and is no row paid for twice?
import { afterAll, beforeAll, expect, test } from "vitest";
import { OTHER_ANSWERS } from "./gemini/rewriting-proxy.ts";
import { startProxiedTrial, texts } from "./trial.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

test("html once", async () => {
  const { trial, proxy } = await startProxiedTrial(workshop, texts(20), { frozen: true, batchSeconds: 60 });
  proxy.rewrite((call, send) => (call.kind === "download" && call.before < 2 ? OTHER_ANSWERS.html : send()));
  await trial.run();
  expect(await trial.rightIds()).toHaveLength(20);
  expect(Object.values(await trial.paid()).every((n) => n === 1)).toBe(true);
});
