/** Loaded before the program, which then breaks a promise: the torture has to notice. */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

type Edit = Readonly<{ file: string; replace: string; by: string }>;

/** By the name that `--sabotage` has. */
export const SABOTAGES: Readonly<Record<string, readonly Edit[]>> = {
  // a job is sent again although its create may come late
  "no-revoke": [
    {
      file: "/src/submit/revoke.ts",
      replace: 'if (job.remoteFile === undefined) return "gone";',
      by: 'return "gone";',
    },
  ],
  // an event is written behind others that its writer has not seen
  "no-last-event": [
    {
      file: "/src/manifest/tables/shared-log.ts",
      replace: "AND last_event = $3",
      by: "AND last_event >= $3",
    },
    {
      file: "/src/manifest/tables/shared-log.ts",
      replace: "number = $3 AND holder = $9))",
      by: "number = $3 AND (holder = $9 OR true)))",
    },
  ],
  // vectors are written of a job that others have gone on with
  "no-hold": [
    {
      file: "/src/store/sql.ts",
      replace: '" AND EXISTS (SELECT FROM vecfill_hold)"',
      by: '""',
    },
  ],
};

const name = process.env["TORTURE_SABOTAGE"] ?? "";
const edits = SABOTAGES[name] ?? [];

if (edits.length > 0) {
  registerHooks({
    load: (url, context, nextLoad) => {
      const own = edits.filter(({ file }) => url.endsWith(file));
      const loaded = nextLoad(url, context);
      if (own.length === 0) return loaded;
      let source = readFileSync(new URL(url), "utf8");
      for (const { file, replace, by } of own) {
        if (!source.includes(replace)) throw new Error(`${file} is not as the sabotage knows it`);
        source = source.replace(replace, () => by);
      }
      return { ...loaded, source };
    },
  });
}
