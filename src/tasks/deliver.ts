/** The graphile-worker task `outbox_deliver`: brings the deliveries of a job to their destinations. */
import type { Task } from "graphile-worker";
import { z } from "zod";
import { isOfOtherVersion } from "../database.ts";
import { codeOf, PostriderError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { DeliveryKey } from "../queries/deliveries.ts";
import { handOverJob, putOffJob } from "../queries/jobs.ts";

/** The identifier of the task: `outbox.deliver_job` names it too. */
export const taskIdentifier = "outbox_deliver";

/**
 * The version of the payload that `outbox.deliver_job` writes. Jobs of a version that older workers cannot read belong to a task
 * of their own, `outbox_deliver_v2` and so on: graphile-worker gives a job only to workers that know its task.
 */
export const jobVersion = 1;

/** Event ids by subscription id. */
const jobPayload = z.object({ v: z.literal(jobVersion), deliveries: z.record(z.uuid(), z.array(z.uuid())) });
/** What a newer Postrider wrote, whatever else may be in it. */
const newerPayload = z.object({ v: z.int().min(jobVersion + 1) });

const keysOf = (payload: unknown): readonly DeliveryKey[] =>
  Object.entries(jobPayload.parse(payload).deliveries).flatMap(([subscriptionId, eventIds]) =>
    eventIds.map((eventId) => ({ eventId, subscriptionId })),
  );

/**
 * The task. It returns normally whatever the world does to a delivery: an exception means a bug or a lost database, and
 * graphile-worker's own retry is the net under that. Jobs of a newer version, and all jobs once the database has changed
 * under this version, are left to workers of the other version; that is logged once.
 */
export const createDeliverTask = (deliver: (keys: readonly DeliveryKey[]) => Promise<void>, log: Log): Task => {
  const told = new Set<string>();
  const tellOnce = (message: string, fields: object): void => {
    if (!told.has(message)) log.warn(fields, message);
    told.add(message);
  };
  return async (payload, { job, withPgClient }) => {
    const newer = newerPayload.safeParse(payload);
    if (newer.success) {
      const { v } = newer.data;
      tellOnce("jobs of a newer Postrider are left to its workers", { v, known: jobVersion });
      return withPgClient((client) => handOverJob(client, job.id, v));
    }
    try {
      await deliver(keysOf(payload));
    } catch (error) {
      if (!isOfOtherVersion(error)) throw error;
      const message = "the database was migrated by another Postrider: jobs are left to its workers";
      tellOnce(message, { code: codeOf(error) });
      await withPgClient((client) => putOffJob(client, job.id));
    }
  };
};

/** Stands in a task list until the preset puts the real task in its place. */
export const outbox_deliver: Task = () => {
  throw new PostriderError("POSTRIDER_PRESET_MISSING", "add extends: [postrider()] to graphile.config.ts");
};
