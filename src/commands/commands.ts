/** Every command: what its help page says, and what it does. Each loads its work when it runs. */
import type { Command } from "../cli/command.ts";
import { forEachSeen, forEachTable, forEachTarget } from "../cli/each-target.ts";
import type { CommandName } from "../settings/option.ts";

export const COMMANDS: Readonly<Record<CommandName, Command>> = {
  plan: {
    summary: "what run would do, cost and take; spends nothing",
    about:
      "What `run` would do: rows, tokens, jobs, cost in batch and interactive price, size on disk, time by quota. With a key, Gemini counts the tokens of a sample, which costs nothing. Spends and writes nothing; all of it are estimates.",
    examples: [
      ["vecfill plan", "what the whole column would cost, and how long it would take"],
      ["vecfill plan --limit 10000 --tier 2", "of ten thousand rows, on another tier"],
      ["vecfill plan --json", "the same for a script"],
    ],
    work: async (context) => forEachTable(context, (await import("./plan/show.ts")).showPlan),
  },
  run: {
    summary: "all four stages as one pipeline",
    about:
      "Exports, submits, polls and imports as one pipeline, several jobs at once, until nothing is left to do. Rows that failed and may succeed are sent again.",
    examples: [
      ["vecfill run", "fill the column"],
      ["vecfill run --limit 1000", "a first thousand rows"],
      ["vecfill run --timeout 3600", "stop waiting after an hour; run again to go on"],
    ],
    ownOptions: async () => {
      const { RUN_OPTIONS } = await import("../cli/run-options.ts");
      return { options: Object.values(RUN_OPTIONS), sections: {} };
    },
    work: async (context, _words, flags) => (await import("./run/show.ts")).showRun(context, flags),
  },
  export: {
    summary: "selects rows without an embedding into request files",
    about:
      "Selects rows whose embedding is NULL into request files, one job each. Rows that are on their way or wait in a failed file are left out.",
    examples: [
      ["vecfill export", "every row whose embedding is NULL"],
      ["vecfill export --limit 1000", "a first thousand"],
      ["vecfill export --text '{question_text} {options}'", "a text made of several columns"],
    ],
    work: async (context) => forEachTable(context, (await import("./export/show.ts")).showExport),
  },
  submit: {
    summary: "uploads the exported jobs and starts their batches",
    about:
      "Uploads each exported job's file and starts its batch. A job whose last submission is uncertain is looked for at Gemini first. With --lane sync the jobs are embedded here and now, at full price, and can be imported when this ends.",
    examples: [
      ["vecfill submit", "as many jobs as may be queued"],
      ["vecfill submit --dry-run", "which ones that would be"],
      ["vecfill submit --lane sync", "embed them at once instead; goes on where it stopped"],
    ],
    work: async (context) => (await import("./submit/show.ts")).showSubmit(context),
  },
  poll: {
    summary: "waits until the submitted jobs have ended",
    about: "Waits until every submitted job has ended.",
    examples: [
      ["vecfill poll", "wait as long as it takes"],
      ["vecfill poll --once", "look once and leave"],
      ["vecfill poll --timeout 3600", "wait for an hour at most"],
    ],
    work: async (context) => (await import("./poll/show.ts")).showPoll(context),
  },
  import: {
    summary: "writes the results of ended jobs into the column",
    about:
      "Downloads the results of ended jobs and writes the vectors into the column, each only if its row still has the text that was embedded and no vector.",
    examples: [
      ["vecfill import", "every ended job"],
      ["vecfill import --dry-run", "which ones that would be"],
      ["vecfill import --again", "after the database was restored from a backup"],
      [
        "vecfill import --again --refetch 0003",
        "its results as Gemini has them, for six weeks and at no cost",
      ],
    ],
    argument: {
      form: "[job..]",
      describe: "write these jobs' results again, such as 0003's; else as --again",
    },
    work: async (context, words) => (await import("./import/show.ts")).showImport(context, words),
  },
  resubmit: {
    summary: "makes new jobs from failed lines",
    about:
      "Makes new jobs from failed lines, as they are or edited by hand: every line given is taken, whatever its class. Without a file: every failed file not yet resubmitted.",
    examples: [
      ["vecfill resubmit", "all failed lines"],
      ["vecfill resubmit jobs/0003.failed.jsonl", "those of one job"],
      ["vecfill resubmit mended.jsonl", "lines copied elsewhere and edited"],
    ],
    argument: { form: "[file..]", describe: "a file of failed lines" },
    work: async (context, words) =>
      (await import("./resubmit/show.ts")).showResubmit(context, words),
  },
  cancel: {
    summary: "cancels the batches of jobs at Gemini",
    about:
      "Cancels the batches of these jobs at Gemini; what they have embedded so far is lost. `vecfill poll` then sees them end, and their rows can be resubmitted. A job that was not submitted yet is given up, and its rows are exported again. One that is being embedded at once ends with what it has: that is imported, and the other rows can be resubmitted.",
    examples: [
      ["vecfill cancel 0003", "one job"],
      ["vecfill cancel 0003 0004 --dry-run", "what would be cancelled"],
    ],
    argument: { form: "<job..>", describe: "a job's id, such as 0003" },
    work: async (context, words) => (await import("./cancel/show.ts")).showCancel(context, words),
  },
  recover: {
    summary: "takes over batches that no jobs folder here knows",
    about:
      "Makes jobs of the batches for this table that are at Gemini and that this jobs folder does not know, such as those of a folder that was deleted, and writes the results of those that have ended into the column. Nothing is sent. Rows that failed in them are sent again with --beside only, since the other folder may be in use.",
    examples: [
      ["vecfill recover --dry-run", "which batches there are"],
      ["vecfill recover", "make jobs of them, and import what has ended; `vecfill run` goes on"],
    ],
    work: async (context) => forEachSeen(context, (await import("./recover/show.ts")).showRecover),
  },
  verify: {
    summary: "checks the column, the sums and the files",
    about:
      "Reads the whole column and says what is in it: rows without a vector, vectors of a wrong width, not of unit length, not finite, the same under different texts; and whether the manifest's sums and files are as recorded. With --sample, embeds some rows again and compares. Writes nothing but the list of what is wrong.",
    examples: [
      ["vecfill verify", "the column, the sums and the files"],
      ["vecfill verify --sample 50", "also embed 50 rows again, at full price, and compare"],
      ["vecfill verify --json", "for a script; exit code 1 when something is wrong"],
      [
        "vecfill verify --max-age 1h --age-column created_at",
        "exit code 1 also when a row has waited longer",
      ],
    ],
    work: async (context) => forEachTable(context, (await import("./verify/show.ts")).showVerify),
  },
  search: {
    summary: "the rows nearest to a text",
    about:
      "Embeds a text as a query of the target's model and shows the rows whose vectors are nearest, with their cosines: how you see that it worked. Documents are found by RETRIEVAL_QUERY, all else by its own task. One call of the interactive API, a fraction of a cent. Needs the database itself, not its API.",
    examples: [
      ['vecfill search "planets with rings"', "the five nearest rows"],
      ['vecfill search "planets with rings" --top 20 --json', "twenty, for a script"],
      [
        'vecfill search "planets with rings" --print-vector',
        "the query's vector, to paste into SQL",
      ],
    ],
    argument: { form: "<query..>", describe: "what to look for" },
    ownOptions: async () => {
      const { SEARCH_OPTIONS } = await import("../cli/search-options.ts");
      return { options: Object.values(SEARCH_OPTIONS), sections: {} };
    },
    work: async (context, words, flags) => {
      const { showSearch } = await import("./search/show.ts");
      return forEachTarget(context, (its) => showSearch(its, words, flags));
    },
  },
  rollback: {
    summary: "takes back what jobs wrote",
    about:
      "Sets back to NULL exactly the vectors that these jobs wrote and nobody has changed since: each row is compared with the vector in the job's results file. The next export takes these rows again, and they are paid for again.",
    examples: [
      ["vecfill rollback 0003 --dry-run", "how many rows that would be"],
      ["vecfill rollback 0003 0004", "take back what two jobs wrote"],
    ],
    argument: { form: "<job..>", describe: "a job's id, such as 0003" },
    work: async (context, words) =>
      (await import("./rollback/show.ts")).showRollback(context, words),
  },
  clean: {
    summary: "deletes files that are no longer needed",
    about:
      "Deletes what is no longer needed: request and results files of imported jobs, and uploaded files at Gemini. Never the manifest, a failed file, or anything of a job that is not imported. Without its results file a job cannot be rolled back any more, so it asks first.",
    examples: [
      ["vecfill clean --dry-run", "what would be deleted, and what it frees"],
      ["vecfill clean --keep-results", "keep what a rollback needs"],
      ["vecfill clean --yes", "ask no questions"],
    ],
    work: async (context) => (await import("./clean/show.ts")).showClean(context),
  },
  worker: {
    summary: "works on a shared manifest, beside other workers",
    about:
      "Does what `run` does, until it is told to stop, over a manifest that several processes share (--manifest postgres): any number of workers on any number of machines. Each takes what nobody else does, and goes on with what one that died has left, within a minute. It asks nothing: it spends what somebody has agreed to in `run`, of which --detach leaves the work to workers; or --yes says that it may spend, --max-cost how much: one limit on all that they spend, also of those who do not give it. Exit code 4: something is at Gemini still.",
    examples: [
      ["vecfill worker --manifest postgres --yes", "until Ctrl-C or SIGTERM"],
      ["vecfill worker --once --yes", "what can be done now: for cron, with VECFILL_MANIFEST set"],
      ["vecfill worker --only import --yes", "write results alone"],
    ],
    ownOptions: async () => {
      const { WORKER_OPTIONS } = await import("../cli/worker-options.ts");
      return { options: Object.values(WORKER_OPTIONS), sections: {} };
    },
    work: async (context, _words, flags) =>
      (await import("./worker/show.ts")).showWorker(context, flags),
  },
  manifest: {
    summary: "moves or exports a manifest; pauses all who share one",
    about:
      "Moving takes the manifest of the jobs folder, its jobs under way and its failed rows, to the target's database, where several processes may share it, or back into a folder, when no job is under way. Killed anywhere, it goes on when it is called again. Exporting prints the journal, wherever the manifest is. Pausing keeps every process on every machine from sending, importing and recording anything, from its next step on: before the database is restored or copied, say. Resuming lets them on; those that had ended have to be started again.",
    examples: [
      ["vecfill manifest move --to postgres", "from the jobs folder to the database"],
      ["vecfill manifest move --to folder", "and back, when no job is under way"],
      ["vecfill manifest export > manifest.ndjson", "the journal, as a folder has it"],
      ["vecfill manifest pause --manifest postgres", "nobody goes on"],
      ["vecfill manifest resume --manifest postgres", "they may again"],
    ],
    argument: { form: "[what]", describe: "move, export, pause or resume" },
    ownOptions: async () => {
      const { MANIFEST_OPTIONS } = await import("../cli/manifest-options.ts");
      return { options: Object.values(MANIFEST_OPTIONS), sections: {} };
    },
    work: async (context, words, flags) =>
      (await import("./manifest/show.ts")).showManifest(context, words, flags),
  },
  status: {
    summary: "how it stands: the column, Gemini, failures, cost",
    about:
      "One screen on the column: how full it is, what is at Gemini and since when, how fast it goes and when it will be done, which rows failed and why, who is at work, and what it has cost. Changes nothing, and can be asked while a run is at work.",
    examples: [
      ["vecfill status", "how it stands, and what to type next"],
      ["vecfill status --json", "the same for a script"],
    ],
    work: async (context) => forEachSeen(context, (await import("./status/show.ts")).showStatus),
  },
  jobs: {
    summary: "lists the jobs, or shows one",
    about: "Lists the manifest; with a job, everything about it, with its history.",
    examples: [
      ["vecfill jobs", "every job and its state"],
      ["vecfill jobs 0003", "everything about one job"],
      ["vecfill jobs --state failed,expired", "only some of them"],
      ["vecfill jobs --watch", "stay until all have ended"],
      ["vecfill jobs --format csv > jobs.csv", "for a spreadsheet"],
    ],
    argument: { form: "[job]", describe: "a job's id, such as 0003" },
    work: async (context, words) => (await import("./jobs/show.ts")).showJobs(context, words),
  },
  report: {
    summary: "writes one HTML page on the column, the jobs and the cost",
    about:
      "Writes one HTML page on the state of the column, the jobs, their cost and their failures. It needs no network, works from disk, and changes nothing. Ids of failed rows are on it, texts are not.",
    examples: [
      ["vecfill report", "report.html in the jobs folder"],
      ["vecfill report --report-file /tmp/vectors.html", "somewhere else"],
    ],
    work: async (context) => forEachSeen(context, (await import("./report/show.ts")).showReport),
  },
  migrate: {
    summary: "a new model or width for a table: fill, index, check, swap",
    about:
      "Takes a table to another model or width beside its work: adds a column, fills it with the usual pipeline, builds the index that the old one has, checks it, and swaps the names in one short transaction. It asks once, at the beginning; run it again to go on wherever it stopped. The old column is kept until --finish drops it, and --undo puts it back. Needs the database itself. See docs/migrate.md.",
    examples: [
      ["vecfill migrate --to gemini-embedding-2 --dry-run", "what it would do, cost and lock"],
      ["vecfill migrate --to gemini-embedding-2", "all of it, up to the swap"],
      ["vecfill migrate --status", "how far it is"],
      ["vecfill migrate --undo", "put all back as it was"],
      ["vecfill migrate --finish", "drop the old column"],
    ],
    ownOptions: async () => {
      const { MIGRATE_OPTIONS } = await import("../cli/migrate-options.ts");
      return { options: Object.values(MIGRATE_OPTIONS), sections: {} };
    },
    work: async (context, words, flags) =>
      (await import("./migrate/show.ts")).showMigrate(context, words, flags),
  },
  init: {
    summary: "writes a config file, and SQL functions for Supabase",
    about:
      "Writes vecfill.config.json for this target and, for a Supabase project, a migration with the SQL functions that make its API safe and fast to fill a column through. With DATABASE_URL set it needs no functions. Running it again with the same settings changes nothing.",
    examples: [
      ["vecfill init", "config file, and a migration where SUPABASE_URL is set"],
      ["vecfill init --trigger", "also a trigger: a row whose text changes loses its vector"],
      ["vecfill init --apply", "also run the migration on DATABASE_URL"],
      ["vecfill init --remove", "a migration that takes functions and trigger out"],
    ],
    work: async (context) => {
      const { showInit } = await import("./init/show.ts");
      const { result, settings, isReady, next: nextCommand } = await showInit(context);
      if (!isReady) return result;
      const { showDoctor } = await import("./doctor/show.ts");
      const { text, json, next } = await showDoctor({ ...context, settings, next: nextCommand });
      return {
        json: { ...result.json, doctor: json },
        text: `${result.text}\n\nAs vecfill doctor sees it:\n${text}`,
        next: next ?? result.next,
      };
    },
  },
  config: {
    summary: "shows every setting, and where it comes from",
    about:
      "Shows each setting, its value and where that comes from: a flag, a variable, a file or the default. Keys and addresses are shown as set or not set.",
    examples: [
      ["vecfill config show", "what holds here"],
      ["vecfill config show --target answers", "for one of several targets"],
    ],
    argument: { form: "[what]", describe: "show" },
    work: async (context, words) => {
      const { showConfig } = await import("./config/show.ts");
      return forEachTarget(context, async (its) => showConfig(its, words));
    },
  },
  doctor: {
    summary: "checks keys, database, table and folder, and says how to mend each",
    about:
      "Checks the key and the model, the way to the database, the table, its columns, indexes, triggers and SQL functions, and the jobs folder. Spends and writes nothing, except with --live. Exit code 3 when something is broken; a warning is no failure.",
    examples: [
      ["vecfill doctor", "what is well, what is not, and how to mend it"],
      ["vecfill doctor --json", "the same for a script"],
      ["vecfill doctor --live", "also what Gemini really does, for less than a cent"],
    ],
    work: async (context) => forEachSeen(context, (await import("./doctor/show.ts")).showDoctor),
  },
  emulator: {
    summary: "serves a local Gemini for trying out, tests and rehearsals",
    about:
      "Serves a local Gemini Batch and Files API until Ctrl-C: for trying out, tests and rehearsals, at no cost. Its vectors depend on the exact text, and near texts have near vectors, but they mean nothing.",
    examples: [
      ["vecfill emulator", "as the service is, on a quiet day"],
      ["vecfill emulator --faults shuffle,retryable=0.01", "on another day"],
      ["vecfill emulator --folder .emulator --tier 1", "keeping its state, with a quota"],
    ],
    ownOptions: async () => {
      const { EMULATOR_OPTIONS } = await import("../cli/emulation.ts");
      const { describeBehaviours, describeFaults } = await import("../emulator/port.ts");
      const sections = {
        Faults: describeFaults(),
        "Behaviours (the first choice is the default)": describeBehaviours(),
      };
      return { options: Object.values(EMULATOR_OPTIONS), sections };
    },
    serves: true,
    work: async ({ output, signal }, _words, flags) => {
      const { emulatorOptions } = await import("../cli/emulation.ts");
      const { serveEmulator } = await import("../emulator/port.ts");
      const summary = await serveEmulator(emulatorOptions(flags), output.result, signal);
      return { json: summary, text: summary.text };
    },
  },
  completion: {
    summary: "prints shell completion",
    about:
      "Prints a script that completes commands, options, their choices, job ids and failed files. Without a shell named, the one that SHELL names.",
    examples: [
      ["source <(vecfill completion bash)", "in ~/.bashrc"],
      ["source <(vecfill completion zsh)", "in ~/.zshrc, after compinit"],
      ["vecfill completion fish | source", "in ~/.config/fish/config.fish"],
    ],
    argument: { form: "[shell]", describe: "bash, zsh or fish" },
    work: async (context, words) =>
      (await import("./completion/show.ts")).showCompletion(context, words, COMMANDS),
  },
};
