/**
 * The parts of docs/reference.md that are made from the program: usage, exit codes and the options. A part
 * stands between `<!-- name -->` and `<!-- /name -->`; all else on the page is written by hand.
 */
import { OPTION_LIST } from "../src/settings/options.ts";

const FEW = 5;

/** The page with its made parts as they have to be. */
export function referencePage(page: string, usage: string): string {
  const parts = { usage: `\`\`\`text\n${usage.trimEnd()}\n\`\`\``, options: optionTables() };
  return Object.entries(parts).reduce(
    (text, [name, made]) =>
      text.replace(
        new RegExp(`(<!-- ${name} -->\n).*?(<!-- /${name} -->)`, "s"),
        (_, before: string, after: string) => `${before}\n${made}\n\n${after}`,
      ),
    page,
  );
}

function optionTables(): string {
  const groups = Map.groupBy(OPTION_LIST, ([, { group }]) => group);
  return [...groups].map(([group, options]) => `### ${group}\n\n${table(options)}`).join("\n\n");
}

function table(options: typeof OPTION_LIST): string {
  const rows = options.map(([, option]) => {
    const { flag, describe, defaultText, commands } = option;
    const meaning = defaultText === undefined ? describe : `${describe} (default: ${defaultText})`;
    return `| \`--${flag}\` | ${cell(meaning)} | ${commandsText(commands)} |`;
  });
  return ["| option | meaning | commands |", "|---|---|---|", ...rows].join("\n");
}

function commandsText(commands: readonly string[]): string {
  return commands.length > FEW ? `${commands.length} commands` : commands.join(", ");
}

/** With what Markdown takes for its own written out. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
