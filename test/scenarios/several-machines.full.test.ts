// I have three machines and no disk that lasts: does what docs/several-machines.md says fill my column, with a role that
// has the rights that it names and no others; and are its YAML files what Compose, Kubernetes and GitHub take?
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { systemClock } from "../../src/clock.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { CLI, startProgram } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { blockAfter, read } from "../page.ts";
import {
  createNativeDatabase,
  type NativeDatabase,
  ON_NATIVE,
} from "../store/postgres/native-database.ts";

const PAGE = read("docs/several-machines.md");
const block = (mark: string) => blockAfter(PAGE, mark);

/** What is not named here is not in the page: a word that is misspelt would be passed over in silence by some of them. */
const word = z.string().min(1);
const words = z.array(word).min(1);
const compose = z.strictObject({
  services: z.strictObject({
    worker: z.strictObject({
      image: word,
      command: words,
      env_file: word,
      environment: z.record(word, word),
      read_only: z.literal(true),
      tmpfs: z.tuple([z.string().regex(/^\/work:uid=1000,gid=1000,size=\d+m$/)]),
      deploy: z.strictObject({ replicas: z.int().min(2) }),
      stop_grace_period: z.string().regex(/^\d+[ms]$/),
      restart: z.enum(["no", "always", "on-failure", "unless-stopped"]),
    }),
  }),
});
const variable = z.strictObject({ name: word, value: word });
const container = z.strictObject({
  name: word,
  image: word,
  command: words.optional(),
  args: words,
  envFrom: z.tuple([z.strictObject({ secretRef: z.strictObject({ name: word }) })]),
  env: z.array(variable),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.literal(1000),
    readOnlyRootFilesystem: z.literal(true),
    allowPrivilegeEscalation: z.literal(false),
  }),
  volumeMounts: z.tuple([z.strictObject({ name: word, mountPath: z.literal("/work") })]),
});
const volume = z.strictObject({
  name: word,
  emptyDir: z.strictObject({
    medium: z.literal("Memory"),
    sizeLimit: z.string().regex(/^\d+Mi$/),
  }),
});
const failureRule = z.union([
  z.strictObject({
    action: z.literal("FailJob"),
    onExitCodes: z.strictObject({
      containerName: word,
      operator: z.enum(["In", "NotIn"]),
      values: z.array(z.int().min(1)),
    }),
  }),
  z.strictObject({
    action: z.literal("Ignore"),
    onPodConditions: z.array(
      z.strictObject({ type: z.literal("DisruptionTarget"), status: z.enum(["True", "False"]) }),
    ),
  }),
]);
const podSpec = z.strictObject({
  // the only one beside a podFailurePolicy
  restartPolicy: z.literal("Never"),
  terminationGracePeriodSeconds: z.int().optional(),
  containers: z.tuple([container]),
  volumes: z.tuple([volume]),
});
const jobSpec = z.strictObject({
  parallelism: z.int().optional(),
  backoffLimit: z.int().min(0),
  podFailurePolicy: z.strictObject({ rules: z.array(failureRule) }).optional(),
  template: z.strictObject({ spec: podSpec }),
});
const named = { apiVersion: z.literal("batch/v1"), metadata: z.strictObject({ name: word }) };
const kubernetesJob = z.strictObject({ ...named, kind: z.literal("Job"), spec: jobSpec });
const cronJob = z.strictObject({
  ...named,
  kind: z.literal("CronJob"),
  spec: z.strictObject({
    schedule: z.string().regex(/^(?:\S+ ){4}\S+$/),
    concurrencyPolicy: z.enum(["Allow", "Forbid", "Replace"]),
    jobTemplate: z.strictObject({ spec: jobSpec }),
  }),
});
const step = z.strictObject({
  name: word.optional(),
  uses: word.optional(),
  with: z.record(word, z.union([word, z.number()])).optional(),
  if: word.optional(),
  run: word.optional(),
});
const workflow = z.strictObject({
  name: word,
  on: z.strictObject({
    schedule: z.tuple([z.strictObject({ cron: z.string().regex(/^(?:\S+ ){4}\S+$/) })]),
    workflow_dispatch: z.null(),
  }),
  permissions: z.strictObject({ contents: z.literal("read") }),
  jobs: z.record(
    word,
    z.strictObject({
      "runs-on": word,
      "timeout-minutes": z.int(),
      env: z.record(word, word),
      steps: z.array(step),
    }),
  ),
});

const readCompose = () => compose.parse(parse(block("compose"))).services.worker;
const readJob = () => kubernetesJob.parse(parse(block("job"))).spec.template.spec.containers[0];
const readCronJob = () =>
  cronJob.parse(parse(block("cronjob"))).spec.jobTemplate.spec.template.spec.containers[0];
const envOf = ({ env }: z.infer<typeof container>) =>
  Object.fromEntries(env.map(({ name, value }) => [name, value]));
const readWorkflow = () => workflow.parse(parse(block("workflow"))).jobs["vecfill"];

test("each file has what its reader asks for, and no word that it does not know", () => {
  expect(readCompose().image).toBe("vecfill");
  const spec = kubernetesJob.parse(parse(block("job"))).spec;
  const [refused] = spec.podFailurePolicy?.rules ?? [];
  expect(refused).toMatchObject({ onExitCodes: { containerName: readJob().name } });
  for (const { volumeMounts, name } of [readJob(), readCronJob()]) {
    expect([name, volumeMounts[0].name]).toEqual(["worker", "work"]);
  }
  expect(readWorkflow()?.steps.map(({ name }) => name)).toContain("Fill");
  expect(() => kubernetesJob.parse({ ...parse(block("job")), speck: {} })).toThrow("speck");
});

describe("on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;
  let emulator: Emulator;
  let bin: string;
  const role = `filler_${randomUUID().slice(0, 8)}`;
  beforeAll(async () => {
    native = await createNativeDatabase();
    emulator = await startEmulator({ batchSeconds: 1, tier: "off" });
    bin = await temporaryFolder();
    const program = `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`;
    await mkdir(join(bin, "bin"));
    await writeFile(join(bin, "bin", "vecfill"), program, { mode: 0o755 });
    await native.database.query(
      "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
    );
    const rights = block("rights")
      .replaceAll("filler", role)
      .replace("database app", `database ${databaseName()}`);
    for (const statement of rights.split(";\n").filter(Boolean)) {
      await native.database.query(statement);
    }
  });
  afterAll(async () => {
    await emulator.close();
    await native.database.query(`DROP OWNED BY ${role} CASCADE`);
    await native.database.query(`DROP ROLE ${role}`);
    await native.drop();
  });

  const databaseName = () => new URL(native.url).pathname.slice(1);

  /** On a machine of its own, which knows nothing. */
  async function machine(program: string, args: readonly string[], its: NodeJS.ProcessEnv) {
    const url = new URL(native.url);
    [url.username, url.password] = [role, "choose-one"];
    const cwd = await temporaryFolder();
    const env = {
      PATH: `${join(bin, "bin")}:/usr/bin:/bin`,
      DATABASE_URL: url.href,
      GEMINI_API_KEY: "a-key-for-tests",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
      GITHUB_STEP_SUMMARY: join(cwd, "summary"),
      VECFILL_MAX_JOB_ROWS: "10",
      VECFILL_POLL_INTERVAL: "0.2",
      ...its,
    };
    return startProgram(program, args, { env, cwd });
  }

  const shell = async (script: string, env: NodeJS.ProcessEnv = {}) =>
    (await machine("/bin/sh", ["-ec", script], env)).ended;

  let rows = 0;
  async function addRows(more: number): Promise<void> {
    await native.database.query(
      `INSERT INTO questions SELECT n, 'Number ' || n FROM generate_series(${rows + 1}, ${rows + more}) n`,
    );
    rows += more;
  }

  const empty = async () => {
    const [row] = await native.database.query(
      "SELECT count(*)::text AS rows FROM questions WHERE embedding IS NULL",
    );
    return Number(row?.["rows"]);
  };

  async function untilFull(): Promise<void> {
    while ((await empty()) > 0) await systemClock.sleep(100);
  }

  async function expectPaidOnce(): Promise<void> {
    expect(await empty()).toBe(0);
    expect([...(await emulator.billing()).values()]).toEqual(Array.from({ length: rows }, () => 1));
  }

  test("two shells, a pause, a move, and a look at the column", { timeout: 120_000 }, async () => {
    await addRows(60);
    const [first, second] = await Promise.all(
      ["first", "second"].map((mark) => shell(`${block("shared")}${block(mark)}`)),
    );
    expect([first?.code, second?.code], `${first?.stderr}${second?.stderr}`).toEqual([0, 0]);
    expect(second?.stdout).toContain("0006");
    const paused = await shell(`${block("shared")}${block("pause")}`);
    expect(paused.code, paused.stderr).toBe(0);
    expect(paused.stdout).toContain("No problem was found");
    const [back, there] = ["folder", "postgres"].map((to) => `vecfill manifest move --to ${to}\n`);
    const moved = await shell(`${block("shared")}${back}${block("move")}${there}`);
    expect(moved.code, moved.stderr).toBe(0);
    await expectPaidOnce();
  });

  test("what one agrees to is left to workers", { timeout: 60_000 }, async () => {
    await addRows(5);
    const { code, stdout, stderr } = await shell(`${block("shared")}${block("detach")}`);
    expect([code, stdout], stderr).toEqual([0, expect.stringContaining("Agreed")]);
    await expectPaidOnce();
  });

  test("the Compose service, until it is told to stop", { timeout: 60_000 }, async () => {
    await addRows(5);
    const { command, environment } = readCompose();
    const { child, ended } = await machine(join(bin, "bin", "vecfill"), command, environment);
    await untilFull();
    child.kill("SIGTERM");
    expect((await ended).code).toBe(EXIT_CODES.interrupted);
    await expectPaidOnce();
  });

  test("the Kubernetes Job, in three pods", { timeout: 60_000 }, async () => {
    await addRows(35);
    const { args } = readJob();
    const pods = await Promise.all(
      ["1", "2", "3"].map(() => machine(join(bin, "bin", "vecfill"), args, envOf(readJob()))),
    );
    const ended = await Promise.all(pods.map((pod) => pod.ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    await expectPaidOnce();
  });

  /** Each start does what can be done. */
  async function startAgainAndAgain(start: () => Promise<void>): Promise<void> {
    await addRows(5);
    while ((await empty()) > 0) await start();
    await expectPaidOnce();
  }

  test("the CronJob, started until the column is full", { timeout: 120_000 }, async () => {
    const { command = [], args } = readCronJob();
    const [program = "", ...own] = command;
    await startAgainAndAgain(async () => {
      const { ended } = await machine(program, [...own, ...args], envOf(readCronJob()));
      const { code, stderr } = await ended;
      expect(code, stderr).toBe(0);
    });
  });

  test("the workflow, each time on another machine", { timeout: 120_000 }, async () => {
    const { env = {}, steps = [] } = readWorkflow() ?? {};
    const own = { VECFILL_MANIFEST: env["VECFILL_MANIFEST"] };
    const scripts = new Map(steps.map(({ name, run }) => [name, run]));
    await startAgainAndAgain(async () => {
      const fill = await shell(scripts.get("Fill") ?? "exit 9", own);
      expect(fill.code, fill.stderr).toBe(0);
    });
    expect((await shell(scripts.get("What is done") ?? "exit 9", own)).code).toBe(0);
  });
});
