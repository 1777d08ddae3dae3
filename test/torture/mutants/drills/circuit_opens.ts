import type { Drill } from "../mutant.ts";
import { insertEvents, until } from "../story.ts";

const circuit = { failures: 3, span_seconds: 0, probe_seconds: 1, probe_seconds_max: 1 };

/** A receiver fails until its circuit opens, and more comes for it; then it is well. */
export const circuitOpens: Drill = {
  name: "circuit_opens",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"], policy: { circuit } });
    await sinks.behave("acme", "failing");
    await startWorker();
    await insertEvents(stage, 5, { tenant: "acme" });
    await until(admin, "exists (select from outbox.holds where reason = 'circuit_open')");
    await insertEvents(stage, 5, { tenant: "acme" });
    await sinks.behave("acme", "well");
  },
};
