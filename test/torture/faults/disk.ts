/** A disk with no room left. */
import type { Fault } from "../stage.ts";
import { last } from "./support.ts";

export const diskFaults: readonly Fault[] = [
  {
    name: "disk_full",
    lane: "database",
    weight: 0.5,
    missing: ({ cluster }) => (cluster.fill === undefined ? "Postgres has no disk of its own" : undefined),
    strike: async ({ cluster }, random) => {
      try {
        await cluster.fill?.();
        await last(random, 1_000, 2_500);
      } finally {
        await cluster.free();
        // Without room for its log the server gives up, and recovers; if there is none even for that, it ends.
        await cluster.start();
      }
    },
  },
];
