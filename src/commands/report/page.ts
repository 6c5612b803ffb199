/** The page: one file, no script, nothing from the network. */
import { packageVersion } from "../../disk/package-version.ts";
import { MS_PER_SECOND } from "../../clock.ts";
import { rolledBackRows } from "../../cost/final-sums.ts";
import type { Job } from "../../manifest/job.ts";
import {
  count,
  counted,
  dollars,
  dollarsTogether,
  duration,
  minute,
  someJobs,
} from "../../words/figures.ts";
import { stepChart } from "./charts.ts";
import type { ReportData, ReportJob } from "./data.ts";
import type { FailureGroup, Failures } from "../../words/failures.ts";
import { Html, html } from "./html.ts";
import type { Stretch } from "./series.ts";
import { STYLE } from "./style.ts";
import { byGeminiText } from "../../words/cost-text.ts";
import { FIGURES_MEAN, jobFigures } from "../../words/job-figures.ts";
import { paceWords, verdictOn } from "../../words/verdict.ts";
import { JOB_STATES, colourOf } from "../../manifest/states.ts";
import type { CommandName } from "../../settings/option.ts";

/** Of a list or a timeline: more is for `vecfill jobs`. */
const MAX_JOBS = 1000;
/** Earlier ones are folded away. */
const UNFOLDED_JOBS = 30;

/** `next`: the command line of another command for this folder and target. */
export function reportPage(data: ReportData, next: (command: CommandName) => string): string {
  const { markup } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${data.table}: vectors</title>
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        <main>
          ${heading(data)} ${verdict(data, next)} ${figures(data)} ${failures(data.failures)}
          ${checked(data.migration)} ${rowsOverTime(data)} ${quota(data)} ${timeline(data)}
          ${jobList(data.jobs)}
        </main>
      </body>
    </html> `;
  return markup;
}

function heading({ table: name, target, madeAt, otherJobs, coverage: told }: ReportData): Html {
  const { embedding, model, dimensions, taskType } = target;
  const server = typeof told === "string" ? "" : `, in Postgres ${told.server}`;
  return html`<header>
    <h1>${name}.<wbr />${embedding}</h1>
    <p class="soft">
      ${model}, ${dimensions} dimensions, ${taskType}${server}. Made by vecfill ${packageVersion()},
      ${minute(madeAt)}. All times are UTC.
    </p>
    ${
      otherJobs === 0
        ? ""
        : html`<p class="soft">
            ${counted(otherJobs, "job")} of other targets in this folder are not on this page.
          </p>`
    }
  </header>`;
}

const PERCENT = 100;

function verdict(data: ReportData, next: (command: CommandName) => string): Html {
  const jobs = data.jobs.map(({ job }) => job);
  const standing = { ...data, jobs, failed: data.failures.waiting };
  const { tone, words, next: command } = verdictOn(standing);
  return html`<section class="verdict ${tone}">
    <h2>${words} ${command === undefined ? "" : html`<code>${next(command)}</code>`}</h2>
    ${coverage(data)}
    <p class="soft">${paceWords(standing)}.</p>
  </section>`;
}

function coverage({ coverage: told, failures: { waiting } }: ReportData): Html {
  if (typeof told === "string") return html`<p>The database could not be asked: ${told}</p>`;
  const { total, pending } = told;
  const filled = total - pending;
  const percent = total === 0 ? 0 : Math.floor((filled / total) * PERCENT * 10) / 10;
  const failed = Math.min(waiting, pending);
  const failedPercent = total === 0 ? 0 : (failed / total) * PERCENT;
  return html`<div class="bar" role="img" aria-label="${percent} percent filled, ${failed} failed">
      <i style="width:${percent}%"></i
      ><i class="bad" style="width:${failedPercent.toFixed(2)}%"></i>
    </div>
    <p>
      <b>${percent}%</b>: ${count(filled)} of ${counted(total, "row")} have a
      vector${failed === 0 ? "" : html`, <b class="bad">${count(failed)} failed</b>`}.
    </p>`;
}

function figures({ sums, cost, jobs }: ReportData): Html {
  const open = jobs.filter(({ job }) => job.sums === undefined);
  const onTheWay = open.reduce((rows, { job }) => rows + job.requests, 0);
  const other = sums.stale + sums.filled + sums.gone;
  const takenBack = rolledBackRows(jobs.map(({ job }) => job));
  return html`<section>
    <h2>What became of the rows that were sent</h2>
    <div class="figures">
      ${figure(count(sums.written), "written")}
      ${figure(count(sums.failed), "failed", sums.failed === 0 ? "" : BAD)}
      ${figure(count(other), "stale, filled or gone")}
      ${takenBack === 0 ? "" : figure(count(takenBack), "rolled back")}
      ${figure(count(onTheWay), "on the way")} ${figure(count(cost.tokens), "tokens")}
      ${figure(dollars(cost.usd), ["cost", ...byGeminiText(cost)].join(", "))}
    </div>
  </section>`;
}

const BAD = new Html(' class="bad"');

function figure(value: string, name: string, tone: Html | "" = ""): Html {
  return html`<div class="figure">
    <b${tone}>${value}</b><span class="soft">${name}</span>
  </div>`;
}

function checked(migration: ReportData["migration"]): Html | "" {
  if (migration?.check === undefined) return "";
  const { old, next, step, check } = migration;
  return html`<section>
    <h2>The check of a new model's column</h2>
    <p class="soft">
      From ${old.model} in ${old.embedding} to ${next.model} in ${next.embedding}: ${step}.
    </p>
    ${table(
      ["what", "found"],
      check.map(
        ({ what, found }) =>
          html`<tr>
            <td>${what}</td>
            <td>${found}</td>
          </tr>`,
      ),
    )}
  </section>`;
}

function rowsOverTime({ exported, written, span }: ReportData): Html {
  const lines = [
    { name: "exported", className: "submitted", series: exported },
    { name: "written", className: "imported", series: written },
  ];
  return html`<section>
    <h2>Rows over time</h2>
    ${stepChart({ label: "Rows exported and written over time", lines, ...span })}
  </section>`;
}

function quota({ queued, span, enqueuedTokensMax }: ReportData): Html {
  const lines = [{ name: "tokens queued at Gemini now", className: "succeeded", series: queued }];
  const limit = { name: "may be queued at once", value: enqueuedTokensMax };
  return html`<section>
    <h2>Tokens queued at Gemini</h2>
    ${stepChart({ label: "Tokens queued at Gemini over time", lines, limit, ...span })}
  </section>`;
}

/** One of each colour. */
const KEYS = JOB_STATES.filter(
  (state, at) => JOB_STATES.findIndex((each) => colourOf(each) === colourOf(state)) === at,
);

function timeline({ jobs, span: { fromMs, toMs } }: ReportData): Html {
  return html`<section>
    <h2>Jobs over time${onlyLast(jobs)}</h2>
    <div class="keys soft">
      ${KEYS.map((state) => html`<span class="key ${state}">${state}</span>`)}
    </div>
    ${folded(
      jobs,
      (some) =>
        html`<div class="lives">
          ${some.map(({ job, life }) => html`<span>${job.id}</span>${lifeBar(life, fromMs, toMs)}`)}
        </div>`,
    )}
    <div class="x"><span>${minute(fromMs)}</span><span>${minute(toMs)}</span></div>
  </section>`;
}

function onlyLast({ length }: readonly ReportJob[]): string {
  return length > MAX_JOBS ? `, the last ${count(MAX_JOBS)} of ${count(length)}` : "";
}

/** In the order of their numbers, as everywhere; of many the earlier ones are folded away. */
function folded(jobs: readonly ReportJob[], show: (some: readonly ReportJob[]) => Html): Html {
  const early = jobs.slice(-MAX_JOBS, -UNFOLDED_JOBS);
  const last = show(jobs.slice(-UNFOLDED_JOBS));
  if (early.length === 0) return last;
  return html`<details>
      <summary>${counted(early.length, "earlier job")}</summary>
      ${show(early)}
    </details>
    ${last}`;
}

function lifeBar(life: readonly Stretch[], fromMs: number, toMs: number): Html {
  const percent = (ms: number) => ((ms / Math.max(1, toMs - fromMs)) * PERCENT).toFixed(2);
  const parts = life.map(({ state, fromMs: begins, toMs: ends }) => {
    const left = percent(begins - fromMs);
    const words = `${state} ${minute(begins)}`;
    if (begins === ends)
      return html`<i class="end ${state}" style="left:${left}%" title="${words}"></i>`;
    const lasted = duration((ends - begins) / MS_PER_SECOND);
    return html`<i
      class="${state}"
      style="left:${left}%;width:${percent(ends - begins)}%"
      title="${words}, ${lasted}"
    ></i>`;
  });
  return html`<div class="life">${parts}</div>`;
}

function failures({ groups, unread }: Failures): Html {
  if (groups.length === 0) return html``;
  return html`<section class="verdict bad">
    <h2>Rows that failed, and why</h2>
    ${table(["# rows", "class", "why", "in Gemini's or our words", "ids, for example"], groups.map(failureRow))}
    ${unread === 0 ? "" : html`<p class="soft">${counted(unread, "further row")} not looked at.</p>`}
    <p class="soft">
      Retryable rows may succeed when they are sent again: vecfill resubmit. The others need another
      text.
    </p>
  </section>`;
}

function failureRow({ rows, class: kind, reason, code, message, ids }: FailureGroup): Html {
  const why = code === undefined ? reason : `${reason}, code ${code}`;
  return html`<tr>
    <td class="n">${count(rows)}</td>
    <td>${kind}</td>
    <td>${why}</td>
    <td class="words">${message}</td>
    <td class="ids">${ids.join(", ")}</td>
  </tr>`;
}

function jobList(jobs: readonly ReportJob[]): Html {
  return html`<section>
    <h2>Jobs${onlyLast(jobs)}</h2>
    ${folded(jobs, jobTable)}
    ${Object.entries(FIGURES_MEAN).map(([name, means]) => html`<p class="soft">${name}: ${means}</p>`)}
  </section>`;
}

const JOB_COLUMNS =
  "job, state, # rows, # written, # failed, # again, # other, # tokens, # cost, updated".split(
    ", ",
  );

function jobTable(jobs: readonly ReportJob[]): Html {
  const { text } = dollarsTogether(jobs.map(({ usd }) => usd));
  return table(
    JOB_COLUMNS,
    jobs.map((each) => jobRow(each, text(each.usd))),
  );
}

/** Where a title begins with `# `, there are figures below. */
function table(titles: readonly string[], rows: readonly Html[]): Html {
  const heads = titles.map((title) =>
    title.startsWith("# ") ? html`<th class="n">${title.slice(2)}</th>` : html`<th>${title}</th>`,
  );
  return html`<div class="scroll" tabindex="0">
    <table>
      <thead>
        <tr>
          ${heads}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

function jobRow({ job }: ReportJob, cost: string): Html {
  const { id, state, requests, billedTokens, tokens, updatedAt } = job;
  const { written, failed, again, other } = jobFigures(job) ?? {};
  return html`<tr>
    <td>${id}</td>
    <td class="state ${state}">${stateWords(job)}</td>
    <td class="n">${count(requests)}</td>
    ${figureCell(written)}${figureCell(failed, "bad")}${figureCell(again)}${figureCell(other)}
    <td class="n">${count(billedTokens ?? tokens)}</td>
    <td class="n">${cost}</td>
    <td class="date">${minute(updatedAt)}</td>
  </tr>`;
}

function stateWords({ state, parents }: Job): string {
  return parents.length === 0 ? state : `${state}, from ${someJobs(parents)}`;
}

function figureCell(value: number | undefined, tone = ""): Html {
  const kind = value === undefined || value === 0 ? "n" : `n ${tone}`;
  return html`<td class="${kind}">${value === undefined ? "–" : count(value)}</td>`;
}
