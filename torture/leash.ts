import type { ChildProcess } from "node:child_process";

const leashed = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of leashed) child.kill("SIGKILL");
});

/** Sees to it that the process does not outlive this one. */
export function leash<Child extends ChildProcess>(child: Child): Child {
  leashed.add(child);
  child.on("close", () => leashed.delete(child));
  return child;
}
