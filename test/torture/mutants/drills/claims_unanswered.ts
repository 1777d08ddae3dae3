import { setTimeout as pause } from "node:timers/promises";
import type { Drill } from "../mutant.ts";
import { insertEvents } from "../story.ts";

const events = 200;
const disturbances = 25;
const betweenMs = 80;

/** As few jobs as possible, so that a worker fetches seldom. */
const gatherJobs = `
  with gone as (delete from graphile_worker._private_jobs)
  select outbox.wake(array_agg(event_id), array_agg(subscription_id)) from outbox.deliveries`;

/** Again and again the answers to claims are lost: they were made, and the worker does not know. */
export const claimsUnanswered: Drill = {
  name: "claims_unanswered",
  play: async ({ stage, startWorker }) => {
    const { admin, line, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await insertEvents(stage, events, { tenant: "acme" });
    await admin.query(gatherJobs);
    // A few at a time, so that it claims again and again for the jobs that it has.
    await startWorker({ env: { POSTRIDER_IN_FLIGHT: "4" } });
    for (let n = 0; n < disturbances; n++) {
      line.swallow();
      await pause(betweenMs);
    }
    await line.heal();
  },
};
