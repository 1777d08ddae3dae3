import type { Drill } from "../mutant.ts";
import { insertEvents } from "../story.ts";

const times = 3;

/** Deliveries are named by several jobs, which run at the same time and one after another. */
export const doubledJobs: Drill = {
  name: "doubled_jobs",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "slow");
    await insertEvents(stage, 20, { tenant: "acme" });
    await Promise.all([startWorker(), startWorker()]);
    for (let n = 1; n < times; n++) {
      await admin.query("select outbox.wake(array[event_id], array[subscription_id]) from outbox.deliveries");
    }
  },
};
