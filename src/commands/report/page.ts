/** The page: one file, no script, nothing from the network. */
import { MS_PER_SECOND } from "../../clock.ts";
import type { Job } from "../../manifest/job.ts";
import { count, counted, dollars, duration, someJobs } from "../../words/figures.ts";
import { minute, stepChart } from "./charts.ts";
import type { ReportData, ReportJob } from "./data.ts";
import type { FailureGroup, Failures } from "./failures.ts";
import { Html, html } from "./html.ts";
import type { Stretch } from "./series.ts";
import { STYLE } from "./style.ts";
import { JOB_STATES, colourOf } from "../../manifest/states.ts";

/** Of a list or a timeline: more is for `vecfill jobs`. */
const MAX_JOBS = 100;

export function reportPage(data: ReportData): string {
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
          ${heading(data)} ${coverage(data)} ${figures(data)} ${rowsOverTime(data)} ${quota(data)}
          ${timeline(data)} ${failures(data.failures)} ${jobList(data.jobs)}
        </main>
      </body>
    </html> `;
  return markup;
}

function heading({ table, target, madeAt, otherJobs }: ReportData): Html {
  const { embedding, model, dimensions, taskType } = target;
  return html`<header>
    <h1>${table}.<wbr />${embedding}</h1>
    <p class="soft">
      ${model}, ${dimensions} dimensions, ${taskType}. Made ${minute(madeAt.getTime())} UTC, like
      all times here.
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

function coverage({ coverage: told }: ReportData): Html {
  if (typeof told === "string") {
    return html`<section>
      <h2>Column</h2>
      <p>The database could not be asked: ${told}</p>
    </section>`;
  }
  const { total, pending } = told;
  const filled = total - pending;
  const percent = total === 0 ? 0 : Math.floor((filled / total) * PERCENT * 10) / 10;
  return html`<section>
    <h2>Column</h2>
    <div class="bar" role="img" aria-label="${percent} percent">
      <i style="width:${percent}%"></i>
    </div>
    <p>
      <b>${percent}%</b>: ${count(filled)} of ${counted(total, "row")} have a vector,
      ${count(pending)} ${pending === 1 ? "has" : "have"} none.
    </p>
  </section>`;
}

function figures({ sums, cost, jobs }: ReportData): Html {
  const open = jobs.filter(({ job }) => job.sums === undefined);
  const onTheWay = open.reduce((rows, { job }) => rows + job.requests, 0);
  const other = sums.stale + sums.filled + sums.gone;
  return html`<section>
    <h2>Rows, as they ended</h2>
    <div class="figures">
      ${figure(count(sums.written), "written")} ${figure(count(sums.failed), "failed")}
      ${figure(count(other), "stale, filled or gone")} ${figure(count(onTheWay), "on the way")}
      ${figure(count(cost.tokens), "tokens")}
      ${figure(dollars(cost.usd), `estimated, ${dollars(cost.billedUsd)} of it by Gemini's count`)}
    </div>
  </section>`;
}

function figure(value: string, name: string): Html {
  return html`<div class="figure"><b>${value}</b><span class="soft">${name}</span></div>`;
}

function rowsOverTime({ exported, written, madeAt }: ReportData): Html {
  const lines = [
    { name: "exported", className: "submitted", series: exported },
    { name: "written", className: "imported", series: written },
  ];
  return html`<section>
    <h2>Rows over time</h2>
    ${stepChart({ label: "Rows exported and written over time", lines, ...span(exported, madeAt) })}
  </section>`;
}

function quota({ queued, exported, madeAt, enqueuedTokensMax }: ReportData): Html {
  const lines = [{ name: "tokens queued at Gemini now", className: "succeeded", series: queued }];
  const limit = { name: "may be queued at once", value: enqueuedTokensMax };
  return html`<section>
    <h2>Quota</h2>
    ${stepChart({ label: "Tokens queued at Gemini over time", lines, limit, ...span(exported, madeAt) })}
  </section>`;
}

function span(exported: ReportData["exported"], madeAt: Date) {
  const toMs = madeAt.getTime();
  return { fromMs: exported[0]?.atMs ?? toMs, toMs };
}

/** One of each colour. */
const KEYS = JOB_STATES.filter(
  (state, at) => JOB_STATES.findIndex((each) => colourOf(each) === colourOf(state)) === at,
);

function timeline({ jobs, madeAt }: ReportData): Html {
  const shown = jobs.slice(-MAX_JOBS);
  const starts = shown.flatMap(({ life }) => life.slice(0, 1).map(({ fromMs }) => fromMs));
  const ends = shown.flatMap(({ life }) => life.slice(-1).map(({ toMs }) => toMs));
  const fromMs = Math.min(madeAt.getTime(), ...starts);
  const toMs = Math.max(fromMs + 1, ...ends);
  return html`<section>
    <h2>
      Jobs over
      time${shown.length < jobs.length ? `, the last ${shown.length} of ${count(jobs.length)}` : ""}
    </h2>
    <div class="keys soft">
      ${KEYS.map((state) => html`<span class="key ${state}">${state}</span>`)}
    </div>
    <div class="lives">
      ${shown.map(({ job, life }) => html`<span>${job.id}</span>${lifeBar(life, fromMs, toMs)}`)}
    </div>
    <div class="x"><span>${minute(fromMs)}</span><span>${minute(toMs)}</span></div>
  </section>`;
}

function lifeBar(life: readonly Stretch[], fromMs: number, toMs: number): Html {
  const percent = (ms: number) => ((ms / (toMs - fromMs)) * PERCENT).toFixed(2);
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
  if (groups.length === 0) {
    return html`<section>
      <h2>Failed rows</h2>
      <p>None waits in a failed file.</p>
    </section>`;
  }
  return html`<section>
    <h2>Failed rows</h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th class="n">rows</th>
            <th>class</th>
            <th>why</th>
            <th>in Gemini's or our words</th>
            <th>ids, for example</th>
          </tr>
        </thead>
        <tbody>
          ${groups.map(failureRow)}
        </tbody>
      </table>
    </div>
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
  const shown = jobs.slice(-MAX_JOBS).toReversed();
  return html`<section>
    <h2>
      Jobs${shown.length < jobs.length ? `, the last ${shown.length} of ${count(jobs.length)}` : ""}
    </h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>job</th>
            <th>state</th>
            <th class="n">rows</th>
            <th class="n">written</th>
            <th class="n">failed</th>
            <th class="n">other</th>
            <th class="n">tokens</th>
            <th class="n">cost</th>
            <th>updated</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map(jobRow)}
        </tbody>
      </table>
    </div>
  </section>`;
}

function jobRow({ job, usd }: ReportJob): Html {
  const { id, state, requests, sums, billedTokens, tokens, updatedAt } = job;
  const other = sums === undefined ? undefined : sums.stale + sums.filled + sums.gone;
  return html`<tr>
    <td>${id}</td>
    <td class="state ${state}">${stateWords(job)}</td>
    <td class="n">${count(requests)}</td>
    ${figureCell(sums?.written)}${figureCell(sums?.failed)}${figureCell(other)}
    <td class="n">${count(billedTokens ?? tokens)}</td>
    <td class="n">${dollars(usd)}</td>
    <td class="date">${minute(Date.parse(updatedAt))}</td>
  </tr>`;
}

function stateWords({ state, parents }: Job): string {
  return parents.length === 0 ? state : `${state}, from ${someJobs(parents)}`;
}

function figureCell(value: number | undefined): Html {
  return html`<td class="n">${value === undefined ? "–" : count(value)}</td>`;
}
