/**
 * The rooms of the source from top to bottom. A file imports from lower layers and from its own room: nothing
 * upwards, nothing sideways. `commands` stands for one room a command. ARCHITECTURE.md prints this list.
 */
export const LAYERS: readonly (readonly string[])[] = [
  ["cli.ts", "vecfill.ts"],
  ["commands/commands.ts"],
  ["commands"],
  ["cli"],
  ["composition/stages.ts"],
  ["composition/services.ts"],
  ["composition/kept-manifest.ts"],
  ["run", "plan", "worker"],
  ["import/again"],
  ["export", "submit", "embed", "poll", "import", "resubmit", "migrate"],
  ["gates"],
  ["quota", "output/notify", "search"],
  ["output"],
  ["settings"],
  ["words"],
  ["jobs-folder/scratch"],
  ["cost", "jobs-folder"],
  ["manifest/tables"],
  ["manifest/saved"],
  ["manifest/journal"],
  ["manifest"],
  [
    "manifest/quota",
    "manifest/migration",
    "gemini",
    "store/postgres",
    "store/supabase",
    "store/migration",
    "emulator",
    "row/result-line",
    "settings/environment",
  ],
  ["gemini/http", "store", "emulator/batches"],
  ["gemini/port.ts", "store/port.ts", "emulator/files"],
  ["emulator/state"],
  ["emulator/vectors"],
  ["emulator/faults"],
  ["emulator/http"],
  ["disk", "row"],
  ["progress.ts", "clock.ts", "errors.ts"],
];

export type Place = Readonly<{ room: string; layer: number }>;

/** Of a path such as `src/store/port.ts`; undefined where it is in no room of the list. */
export function placeOf(path: string): Place | undefined {
  const parts = path.split("/").slice(1);
  const depths = [2, 1].filter((depth) => depth <= parts.length);
  for (const name of depths.map((depth) => parts.slice(0, depth).join("/"))) {
    const layer = LAYERS.findIndex((rooms) => rooms.includes(name));
    if (layer >= 0) return { room: name === "commands" ? `commands/${parts[1]}` : name, layer };
  }
  return undefined;
}

/** As ARCHITECTURE.md has it. */
export function layersText(): string {
  return LAYERS.map((rooms, at) => `${at + 1}. ${rooms.map(roomText).join(", ")}`).join("\n");
}

function roomText(room: string): string {
  return `\`src/${room}\``;
}
