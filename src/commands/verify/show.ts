import type { TargetDescription } from "../../row/target-description.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { whatIsLeft } from "../../cli/coverage.ts";
import { MS_PER_SECOND } from "../../clock.ts";
import { targetOf } from "../../settings/config.ts";
import type { Settings } from "../../settings/options.ts";
import type { Job } from "../../manifest/job.ts";
import { UserError, usageError } from "../../errors.ts";
import { priceOf, pricesOf } from "../../cost/tariff.ts";
import { verifyPath } from "../../manifest/file-names.ts";
import { readFailures } from "../../words/failures.ts";
import { count, counted, decimal, dollars, duration, percent } from "../../words/figures.ts";
import type { ChangedTexts } from "../../row/question.ts";
import type { Store } from "../../store/port.ts";
import { columnName, sameTarget, type Target } from "../../row/target.ts";
import { type ColumnSummary, verifyColumn } from "./column.ts";
import { Findings } from "./findings.ts";
import { checkFiles, unbalancedJobs } from "./recorded-jobs.ts";
import {
  comparable,
  drawPlaces,
  LEAST_COSINE,
  unlikeRows,
  tokensToSend,
} from "../../search/sample.ts";
import { countChangedTexts, nameAmongSeveral } from "../../composition/stages.ts";
import { longestWait, type Wait, waitText } from "./waiting.ts";
import { noFolderText } from "../../words/no-folder-text.ts";
import { textOf } from "../../words/text-lines.ts";
import { type Verdict, verdictOn } from "../../words/verdict.ts";

/** Holds no lock: others may write meanwhile, and each window is as it was when it was read. */
export async function showVerify(context: CommandContext): Promise<CommandResult> {
  const { services, settings, report, signal } = context;
  const target = targetOf(settings);
  const store = await services.store(target);
  const description = await store.describe();
  const findings = new Findings();
  const picks = await placesToPick(store, settings.sample);
  const column = await verifyColumn({ store, report, signal }, picks, findings);
  const changed = await countChangedTexts(store, report);
  for (const id of changed?.ids ?? []) {
    findings.add({ id, problem: "text", detail: "its text has changed" });
  }
  const sample = await takeSample(context, target, column, findings);
  const manifest = await services.view();
  const coverage = { total: column.total, pending: column.total - column.withEmbedding };
  const left = await whatIsLeft(context, target, { store, manifest, ...coverage });
  let lost = 0;
  if (coverage.pending > 0) {
    const { lostRows } = await import("../../plan/survey.ts");
    for await (const id of lostRows({ store, manifest, report }, target, settings.kin)) {
      lost += 1;
      findings.add({ id, problem: "lost", detail: "`vecfill run` writes it, at no cost" });
    }
  }
  const jobs = manifest.jobs().filter((job) => sameTarget(job.target, target));
  const { waiting } = await readFailures(jobs, (job) => manifest.bring(job), store);
  const verdict = verdictOn({ coverage: { ...coverage, leftOut: left }, jobs, failed: waiting });
  const verified: Verified = {
    target,
    description,
    column,
    changed,
    sample,
    findings,
    unbalanced: unbalancedJobs(manifest.jobs()),
    files: await checkFiles(manifest),
    noFolder: await noFolderText(settings),
    jobs: manifest.jobs().length,
    wait: isWaiting(verdict, settings)
      ? await waitOf(context, store, target, manifest.jobs(), column)
      : undefined,
    verdict,
    lost,
    path: verifyPath(settings.jobsDir, nameAmongSeveral(context)),
  };
  if (!settings.dryRun) await findings.write(settings.jobsDir, verified.path);
  return resultOf(context, verified);
}

async function placesToPick(store: Store, size: number | undefined): Promise<number[]> {
  if (size === undefined) return [];
  const { total, pending } = await store.count();
  return drawPlaces(size, total - pending);
}

type Sample = Readonly<{
  /** Compared, or with a dry run to be compared. */
  rows: number;
  /** Without a text, or too long for the model. */
  leftOut: number;
  off: number;
  tokens: number;
  usd: number;
}>;

async function takeSample(
  { services, settings, confirm, signal }: CommandContext,
  target: Target,
  { picked }: ColumnSummary,
  findings: Findings,
): Promise<Sample | undefined> {
  if (settings.sample === undefined) return undefined;
  const rows = comparable(picked, target);
  const tokens = tokensToSend(rows, target);
  const usd = priceOf(tokens, pricesOf(settings)(target.model, "sync"));
  const sample = { rows: rows.length, leftOut: picked.length - rows.length, off: 0, tokens, usd };
  if (settings.dryRun || rows.length === 0) return sample;
  const question = `Embed ${counted(rows.length, "row")} again, for about ${dollars(usd)} at the full price?`;
  if (usd > settings.consentAbove && !(await confirm(question))) throw refused();
  const gemini = await services.gemini();
  const off = await unlikeRows({ gemini, signal }, target, rows);
  for (const { id, cosine } of off) {
    findings.add({ id, problem: "sample", detail: `cosine ${cosine.toFixed(COSINE_DIGITS)}` });
  }
  return { ...sample, off: off.length };
}

const COSINE_DIGITS = 4;

function refused(): UserError {
  return usageError(
    "No sample was taken: you said no.",
    "`vecfill verify` without --sample costs nothing.",
  );
}

type Verified = Readonly<{
  target: Target;
  description: TargetDescription;
  column: ColumnSummary;
  changed: ChangedTexts | undefined;
  sample: Sample | undefined;
  findings: Findings;
  unbalanced: readonly string[];
  files: Awaited<ReturnType<typeof checkFiles>>;
  noFolder: string;
  jobs: number;
  wait: Wait | undefined;
  verdict: Verdict;
  /** Rows that jobs wrote and that hold no vector now. */
  lost: number;
  path: string;
}>;

/** Rows that no run takes wait for nothing, as far as the jobs tell. */
function isWaiting({ tone }: Verdict, { ageColumn }: Pick<Settings, "ageColumn">): boolean {
  return tone !== "good" || ageColumn !== undefined;
}

async function waitOf(
  { settings, clock }: CommandContext,
  store: Store,
  target: Target,
  jobs: readonly Job[],
  { total, withEmbedding }: ColumnSummary,
): Promise<Wait | undefined> {
  if (total === withEmbedding) return undefined;
  return longestWait(store, target, { jobs, now: clock.now(), ageColumn: settings.ageColumn });
}

function resultOf({ settings, next }: CommandContext, verified: Verified): CommandResult {
  const { column, findings, unbalanced, files, sample, path, verdict } = verified;
  const { total, withEmbedding, picked: _picked, ...flaws } = column;
  const withoutEmbedding = total - withEmbedding;
  const isListed = findings.count > 0 && !settings.dryRun;
  const isOff =
    findings.count > 0 ||
    unbalanced.length > 0 ||
    files.problems.length > 0 ||
    isTooOld(verified, settings) ||
    !fitsTarget(verified);
  const follows = withoutEmbedding > 0 && !isOff ? verdict.next : undefined;
  const step = verified.lost > 0 ? "run" : follows;
  return {
    json: {
      total,
      withEmbedding,
      withoutEmbedding,
      percentComplete: percent(withEmbedding, total),
      ...flaws,
      column: verified.description.embedding,
      fitsTarget: fitsTarget(verified),
      manifestBalanced: unbalanced.length === 0,
      unbalancedJobs: unbalanced,
      oldestWaiting: verified.wait ?? null,
      emptiedSince: verified.lost,
      changedTexts: verified.changed ?? null,
      files: { checked: files.checked, problems: files.problems },
      sample: sample === undefined ? null : { ...sample, usd: decimal(sample.usd) },
      problemsFile: isListed ? path : null,
      ...(settings.dryRun ? { dryRun: true } : {}),
    },
    text: textOf([verified.noFolder, verifiedText(verified, settings, { isListed, isOff })]),
    next: step && next(step),
    exit: isOff ? "rowsFailed" : "done",
  };
}

function isTooOld({ wait }: Verified, { maxAgeMs }: Pick<Settings, "maxAgeMs">): boolean {
  return wait !== undefined && maxAgeMs !== undefined && wait.seconds * MS_PER_SECOND > maxAgeMs;
}

/** A column that declares no width takes any. */
function fitsTarget({ target, description: { embedding } }: Verified): boolean {
  return embedding.dimensions === undefined || embedding.dimensions === target.dimensions;
}

type Asked = Pick<Settings, "maxAgeMs" | "ageColumn">;

function verifiedText(
  verified: Verified,
  asked: Asked,
  { isListed, isOff }: Readonly<{ isListed: boolean; isOff: boolean }>,
): string {
  const { findings, path, column, verdict } = verified;
  const listed = findings.listed < findings.count ? `the first ${count(findings.listed)} of ` : "";
  return textOf([
    ...columnLines(verified),
    ...changedLines(verified),
    ...waitLines(verified, asked),
    ...manifestLines(verified),
    ...sampleLines(verified),
    isListed ? `Problems, with ids: ${listed}${counted(findings.count, "line")} in ${path}` : "",
    isOff ? "" : "No problem was found.",
    !isOff && column.total > column.withEmbedding && verdict.words,
  ]);
}

function columnLines(verified: Verified): string[] {
  const { target, description, column } = verified;
  const { typeName, dimensions } = description.embedding;
  const { total, withEmbedding } = column;
  const figures: readonly (readonly [what: string, rows: number, note?: string])[] = [
    ["rows", total],
    ["with a vector", withEmbedding, `${percent(withEmbedding, total).toFixed(2)}%`],
    ["without a vector", total - withEmbedding],
    ["of a wrong width", column.wrongDimensions],
    ["not of unit length", column.notUnitLength],
    ["not finite", column.notFinite],
    ["same under different texts", column.identicalVectors],
  ];
  const width = Math.max(...figures.map(([what]) => what.length));
  const digits = Math.max(...figures.map(([, rows]) => count(rows).length));
  const misfit = `The column has ${dimensions} dimensions, and ${target.dimensions} are asked for.`;
  return [
    `${columnName(target)}: ${typeName}${dimensions === undefined ? "" : `(${dimensions})`}`,
    ...figures.map(([what, rows, note]) =>
      `  ${what.padEnd(width)}  ${count(rows).padStart(digits)}  ${note ?? ""}`.trimEnd(),
    ),
    fitsTarget(verified) ? "" : misfit,
  ];
}

function changedLines({ changed }: Verified): string[] {
  if (changed === undefined) return [];
  const { by, rows, unknown } = changed;
  if (by === "reset")
    return ["  of another text: none since its trigger is there, which empties them"];
  return [
    `  of another text: ${rows === 0 ? "none" : `${counted(rows, "row")}; set to NULL, the next run fills them`}`,
    unknown === 0 ? "" : `  of a text that nobody recorded: ${counted(unknown, "older vector")}`,
  ];
}

function waitLines(verified: Verified, asked: Asked): string[] {
  const { column, wait, verdict } = verified;
  if (column.total === column.withEmbedding || !isWaiting(verdict, asked)) return [];
  const { maxAgeMs = 0, ageColumn } = asked;
  const tooOld = `  That is longer than ${duration(maxAgeMs / MS_PER_SECOND)} (--max-age).`;
  return [waitText(wait, ageColumn), isTooOld(verified, asked) ? tooOld : ""];
}

function manifestLines({ unbalanced, files, jobs, lost }: Verified): string[] {
  const sums =
    unbalanced.length === 0
      ? "the sums balance"
      : `the sums of ${unbalanced.join(", ")} do not balance, which is a bug of vecfill`;
  return [
    `manifest: ${counted(jobs, "job")}, ${sums}`,
    ...(lost > 0 ? [lostText(lost)] : []),
    `files: ${filesText(files)}`,
    ...files.problems.map(({ job, path, problem }) => `  ${path} of job ${job} is ${problem}`),
  ];
}

function filesText({ checked, problems }: Verified["files"]): string {
  if (checked === 0) return "no job under way needs one";
  const found = problems.length === 0 ? "as recorded" : `${count(problems.length)} not as recorded`;
  return `${counted(checked, "file")} checked, ${found}`;
}

function lostText(rows: number): string {
  return `  ${counted(rows, "row")} that jobs wrote ${rows === 1 ? "has" : "have"} no vector now. Was the database restored from a backup, or did a server take over? \`vecfill run\` writes them at no cost, but for those that a warning above says are paid for again.`;
}

function sampleLines({ sample }: Verified): string[] {
  if (sample === undefined) return [];
  const { rows, leftOut, off, usd } = sample;
  return [
    `sample: ${counted(rows, "row")} embedded again (about ${dollars(usd)}), ${off === 0 ? "all alike" : `${count(off)} of them differ`} (cosine of at least ${LEAST_COSINE})`,
    off === 0
      ? ""
      : "  A row whose text was changed after it was filled differs, too: set it to NULL, and the next run fills it again. So does one whose failed line was mended in its file: it keeps the vector of that text, until its own changes.",
    leftOut === 0 ? "" : `  ${counted(leftOut, "row")} left out: without a text, or too long.`,
  ];
}
