/** Runs in bash 3.2, which macOS has, and starts no vecfill: it answers at once. */
import {
  type CompletedCommand,
  type CompletedOption,
  JOBS_DIR_COMMAND,
  SHELL_NAMES,
  TARGETS_COMMAND,
  taking,
  values,
} from "./words.ts";

export function bashCompletion(commands: readonly CompletedCommand[]): string {
  return `# bash completion for vecfill: source <(vecfill completion bash)
_vecfill() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= folder=$VECFILL_JOBS_DIR i
  [[ -z $folder ]] && folder=$(${JOBS_DIR_COMMAND})
  folder=\${folder:-jobs}
  # --model=gem comes as three words
  if [[ $cur == = ]]; then cur=
  elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --jobs-dir)
        folder=\${COMP_WORDS[i+1]}
        [[ $folder == = ]] && folder=\${COMP_WORDS[i+2]} ;;
      ${commands.map(({ name }) => name).join("|")})
        [[ -z $command ]] && command=\${COMP_WORDS[i]} ;;
    esac
  done
  local IFS=$'\\n'
  COMPREPLY=()
  case $command:$prev in
${values(commands, answerTo)}
  esac
  local words=
  if [[ $cur == -* ]]; then
    case $command in
${options(commands)}
      *) words="--help --version" ;;
    esac
    IFS=$' \\n'
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    return
  fi
  case $command in
    "") IFS=$' \\n'; COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")}" -- "$cur")) ;;
    ${taking(commands, "job")})
      words=
      for i in "$folder"/*.requests.jsonl; do
        [[ -e $i ]] || continue
        i=\${i##*/}
        i=\${i%%.*}
        # compgen -W expands its words: a file's name may hold a command
        [[ $i == *[!0-9]* ]] || words+=" $i"
      done
      IFS=$' \\n'
      COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    ${taking(commands, "failedFile")})
      for i in $(compgen -f -- "\${cur:-$folder/}"); do
        if [[ -d $i || $i == *.failed.jsonl ]]; then COMPREPLY+=("$i"); fi
      done
      compopt -o filenames 2>/dev/null ;;
    ${taking(commands, "show")}) COMPREPLY=($(compgen -W show -- "$cur")) ;;
    ${taking(commands, "shell")}) IFS=$' \\n'; COMPREPLY=($(compgen -W "${SHELL_NAMES.join(" ")}" -- "$cur")) ;;
  esac
}
complete -F _vecfill vecfill
`;
}

function answerTo({ takes, choices }: CompletedOption): string | undefined {
  return {
    nothing: undefined,
    anything: ":",
    choice: `IFS=$' \\n'; COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$cur"))`,
    target: `IFS=$' \\n'; COMPREPLY=($(compgen -W "all $(${TARGETS_COMMAND})" -- "$cur"))`,
    file: `COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null`,
    folder: `COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames 2>/dev/null`,
  }[takes];
}

function options(commands: readonly CompletedCommand[]): string {
  return commands
    .map(
      ({ name, options: own }) =>
        `      ${name}) words="${own.map(({ flag }) => `--${flag}`).join(" ")}" ;;`,
    )
    .join("\n");
}
