/** A newer Postrider, as far as older workers meet it: the database writes jobs of version 2, and a worker reads them. */
import type { Task } from "graphile-worker";
import { taskIdentifier } from "../../src/tasks/deliver.ts";
import type { Runner } from "./factory.ts";

/** From now on jobs are written as a newer version would, and under the name of the task that the older one knows. */
export const writeNewerJobs = (on: Runner) =>
  on.query(`create or replace function outbox.deliver_job(deliveries json, run_at timestamptz, priority integer) returns graphile_worker.job_spec
    language sql immutable
    return row(
      'outbox_deliver', json_build_object('v', 2, 'deliveries', deliveries), null, run_at, null, null, priority, null
    )::graphile_worker.job_spec`);

/** Makes a worker one of the newer version. */
export const newerPreset: GraphileConfig.Preset = {
  plugins: [
    {
      name: "newer",
      version: "0.0.0",
      worker: {
        hooks: {
          startWorker: (_ctx, { tasks }) => {
            const known = tasks[taskIdentifier] as Task;
            const newer: Task = (payload, helpers) => known({ ...(payload as object), v: 1 }, helpers);
            Object.assign(tasks, { [taskIdentifier]: newer, [`${taskIdentifier}_v2`]: newer });
          },
        },
      },
    },
  ],
};
