/** For fish; it starts no vecfill either. */
import { JOBS_DIR_COMMAND, SHELL_NAMES, TARGETS_COMMAND } from "./words.ts";
import type { CompletedCommand, CompletedOption } from "./words.ts";

export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  return `# fish completion for vecfill: vecfill completion fish | source
function __vecfill_command
  for word in (commandline -opc)[2..-1]
    contains -- $word ${names}; and echo $word; and return
  end
  return 1
end
function __vecfill_is
  test "$(__vecfill_command)" = $argv[1]
end
function __vecfill_jobs
  set -l words (commandline -opc)
  set -l folder $VECFILL_JOBS_DIR (${JOBS_DIR_COMMAND}) jobs
  set -l at (contains -i -- --jobs-dir $words); and set folder $words[(math $at + 1)]
  for file in $folder[1]/*.requests.jsonl
    string replace -r '.*/(.*)\\.requests\\.jsonl' '$1' $file
  end
end
function __vecfill_targets
  echo all
  ${TARGETS_COMMAND}
end
complete -c vecfill -f
${commands.map(commandLines).join("\n")}
`;
}

function commandLines({ name, summary, options, takes }: CompletedCommand): string {
  const inIt = `complete -c vecfill -n '__vecfill_is ${name}'`;
  const words = {
    nothing: undefined,
    job: "-a '(__vecfill_jobs)'",
    failedFile: "-F",
    show: "-a show",
    shell: `-a '${SHELL_NAMES.join(" ")}'`,
  }[takes];
  return [
    `complete -c vecfill -n 'not __vecfill_command >/dev/null' -a ${name} -d ${fishText(summary)}`,
    ...(words === undefined ? [] : [`${inIt} ${words}`]),
    ...options.map((option) => `${inIt} ${optionWords(option)}`),
  ].join("\n");
}

function optionWords({ flag, describe, takes, choices }: CompletedOption): string {
  const words = {
    nothing: "",
    anything: " -x",
    choice: ` -xa '${choices.join(" ")}'`,
    target: " -xa '(__vecfill_targets)'",
    file: " -rF",
    folder: " -xa '(__fish_complete_directories)'",
  }[takes];
  return `-l ${flag} -d ${fishText(describe)}${words}`;
}

function fishText(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
