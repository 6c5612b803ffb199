/** What hands tasks out, in memory. */
import type { Engine, Lease } from "../../src/worker/engine.ts";

export const LEASE_MS = 10_000;

/** Hands out as the engine promises, in memory. */
export function newTable(elapsedMs: () => number) {
  type Standing = { lease: Lease; heldUntilMs: number | undefined };
  const table = new Map<string, Standing>();
  const state = { isGone: false };
  const isOwn = (lease: Lease) => table.get(lease.key)?.lease.retryCount === lease.retryCount;
  const there = () => {
    if (state.isGone) throw new Error("relation does not exist");
  };
  const engine: Engine = {
    offer: async (tasks) => {
      there();
      for (const task of tasks) {
        if (table.has(task.key)) continue;
        const lease = { ...task, id: task.key, retryCount: 0 };
        table.set(task.key, { lease, heldUntilMs: undefined });
      }
    },
    take: async ({ duty, project }, most) => {
      there();
      const free = [...table.values()].filter(
        ({ lease, heldUntilMs }) =>
          lease.duty === duty && lease.project === project && heldUntilMs === undefined,
      );
      return free.slice(0, most).map((standing) => {
        standing.heldUntilMs = elapsedMs() + LEASE_MS;
        return standing.lease;
      });
    },
    renew: async (leases) => {
      there();
      const held = leases.filter(isOwn);
      for (const { key } of held) {
        const standing = table.get(key);
        if (standing !== undefined) standing.heldUntilMs = elapsedMs() + LEASE_MS;
      }
      return held;
    },
    giveBack: async (leases) => {
      there();
      for (const lease of leases.filter(isOwn)) table.delete(lease.key);
    },
    sweep: async () => {
      there();
      for (const standing of table.values()) {
        if ((standing.heldUntilMs ?? Infinity) > elapsedMs()) continue;
        const { lease } = standing;
        standing.lease = { ...lease, retryCount: lease.retryCount + 1 };
        standing.heldUntilMs = undefined;
      }
    },
    close: async () => {},
  };
  return { engine, state, drop: () => table.clear() };
}
