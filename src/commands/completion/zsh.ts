/** For zsh's own completion system; it starts no vecfill either. */
import {
  type CompletedCommand,
  type CompletedOption,
  JOBS_DIR_COMMAND,
  SHELL_NAMES,
  TARGETS_COMMAND,
  taking,
  values,
} from "./words.ts";

export function zshCompletion(commands: readonly CompletedCommand[]): string {
  return `#compdef vecfill
# zsh completion for vecfill: source <(vecfill completion zsh), after compinit
_vecfill() {
  local command= folder=$VECFILL_JOBS_DIR i prev=\${words[CURRENT-1]}
  [[ -z $folder ]] && folder=$(${JOBS_DIR_COMMAND})
  folder=\${folder:-jobs}
  local -a described
  for ((i = 2; i < CURRENT; i++)); do
    case \${words[i]} in
      --jobs-dir) folder=\${words[i+1]} ;;
      --jobs-dir=*) folder=\${words[i]#*=} ;;
      ${commands.map(({ name }) => name).join("|")})
        [[ -z $command ]] && command=\${words[i]} ;;
    esac
  done
  # --model=gem is one word here
  if compset -P '--*='; then prev=\${IPREFIX%=}; fi
  case $command:$prev in
${values(commands, answerTo)}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    case $command in
${options(commands)}
      *) described=('--help:show help' '--version:show the version') ;;
    esac
    _describe -o option described
    return
  fi
  case $command in
    "")
      described=(${commands.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ")})
      _describe command described ;;
    ${taking(commands, "job")}) compadd -- "$folder"/*.requests.jsonl(N:t:r:r) ;;
    ${taking(commands, "failedFile")})
      # those of the jobs folder are offered before anything is typed
      [[ -z $PREFIX ]] && compadd -f -- "$folder"/*.failed.jsonl(N)
      _files -g '*.failed.jsonl' ;;
    ${taking(commands, "show")}) compadd -- show ;;
    ${taking(commands, "shell")}) compadd -- ${SHELL_NAMES.join(" ")} ;;
  esac
}
if [[ \${funcstack[1]} == _vecfill ]]; then _vecfill "$@"; else compdef _vecfill vecfill; fi
`;
}

function answerTo({ takes, choices, describe }: CompletedOption): string | undefined {
  return {
    nothing: undefined,
    anything: `_message ${quoted(describe)}`,
    choice: `compadd -- ${choices.join(" ")}`,
    target: `compadd -- all \${(f)"$(${TARGETS_COMMAND})"}`,
    file: "_files",
    folder: "_files -/",
  }[takes];
}

function options(commands: readonly CompletedCommand[]): string {
  return commands
    .map(({ name, options: own }) => {
      const words = own.map(({ flag, describe }) =>
        quoted(`--${flag}:${describe.replaceAll(":", String.raw`\:`)}`),
      );
      return `      ${name}) described=(${words.join(" ")}) ;;`;
    })
    .join("\n");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
