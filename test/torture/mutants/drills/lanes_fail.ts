import type { Drill } from "../mutant.ts";
import { insertEvents, until } from "../story.ts";

const keys = Array.from({ length: 8 }, (_, n) => `order-${n}`);
const eventsOfKey = 20;
/** Who was tried too early is tried again late. */
const exponential = { base_seconds: 3, factor: 1, cap_seconds: 3, attempts: 100 };

/** Lanes fail from their beginning, and the receiver gets well while the worker is at them. */
export const lanesFail: Drill = {
  name: "lanes_fail",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"], ordered: true, policy: { exponential } });
    await Promise.all(keys.map((key) => insertEvents(stage, eventsOfKey, { tenant: "acme", key })));
    await sinks.behave("acme", "failing");
    await startWorker();
    await until(admin, "exists (select from outbox.attempts)");
    await sinks.behave("acme", "well");
  },
};
