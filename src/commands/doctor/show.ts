import { geminiElsewhere } from "../../cli/gemini-address.ts";
import { storeAccess } from "../../settings/access.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { targetOf } from "../../settings/config.ts";
import { lookBeside } from "../../composition/stages.ts";
import { counted } from "../../words/figures.ts";
import { type Check, ok } from "./check.ts";
import { doctor } from "./doctor.ts";
import { live, liveText } from "./live/show-live.ts";

export async function showDoctor(context: CommandContext): Promise<CommandResult> {
  const { services, settings, environment, clock, next } = context;
  const elsewhere = geminiElsewhere(environment);
  const checks = await doctor(
    {
      keys: () => services.keys(),
      store: (target) => services.store(target),
      examine: (target) => services.examine(target),
      view: () => services.view(),
      storeAccess: () => storeAccess(environment),
      addressed: (url) => services.addressed(url),
      clock,
      beside: (asked) => lookBeside(context, asked, targetOf(settings)),
    },
    { ...settings, target: targetOf(settings) },
  );
  const asked = settings.live && isGeminiWell(checks) ? await live(context) : undefined;
  const failures = checks.filter(({ status }) => status === "failure").length;
  // those on variables and files are told before any check
  const told = context.warnings.length;
  const warnings = told + checks.filter(({ status }) => status === "warning").length;
  const verdict = `${counted(failures, "failure")}, ${counted(warnings, "warning")}.`;
  return {
    json: {
      checks: checks.map(({ mend, ...check }) => ({ ...check, mend: mend ?? null })),
      failures,
      warnings,
      ...(asked === undefined ? {} : { live: asked }),
    },
    text: [
      ...[...checks, ...(elsewhere ? [ok("address", elsewhere)] : [])].map(checkLine),
      "",
      ...(asked === undefined ? [] : [liveText(asked), ""]),
      verdict,
    ].join("\n"),
    next: failures > 0 ? undefined : next("plan"),
    exit: failures > 0 ? "fatal" : "done",
  };
}

/** With the first key, which `live` asks with. */
function isGeminiWell(checks: readonly Check[]): boolean {
  return checks.find(({ name }) => name.startsWith("Gemini"))?.status === "ok";
}

const STATUS_COLUMNS = "warning".length;
const NAME_COLUMNS = "row level security".length;

function checkLine({ name, status, message, mend }: Check): string {
  const line = `${status.padEnd(STATUS_COLUMNS)}  ${name.padEnd(NAME_COLUMNS)}  ${message}`;
  return mend === undefined ? line : `${line}\n${" ".repeat(STATUS_COLUMNS + 2)}mend: ${mend}`;
}
