import type { Drill } from "../mutant.ts";
import { insertEvents } from "../story.ts";

/** Retries that were too far away for a job come near. */
export const farRetries: Drill = {
  name: "far_retries",
  restSeconds: 8,
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await insertEvents(stage, 5, { tenant: "acme" });
    await admin.query("update outbox.deliveries set next_attempt_at = now() + interval '2 seconds', job_at = null");
    await admin.query("delete from graphile_worker._private_jobs");
    await startWorker();
  },
};
