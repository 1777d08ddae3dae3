/** The graphile-worker task `outbox_deliver`: brings the deliveries of a job to their destinations. */
import type { Task } from "graphile-worker";
import { z } from "zod";
import { PostriderError } from "../errors.ts";
import type { DeliveryKey } from "../queries/deliveries.ts";

/** The identifier of the task: `outbox.deliver_job` names it too. */
export const taskIdentifier = "outbox_deliver";

/** What `outbox.deliver_job` writes: event ids by subscription id. */
const jobPayload = z.object({ v: z.literal(1), deliveries: z.record(z.uuid(), z.array(z.uuid())) });

const keysOf = (payload: unknown): readonly DeliveryKey[] =>
  Object.entries(jobPayload.parse(payload).deliveries).flatMap(([subscriptionId, eventIds]) =>
    eventIds.map((eventId) => ({ eventId, subscriptionId })),
  );

/**
 * The task. It returns normally whatever the world does to a delivery: an exception means a bug or a lost database, and
 * graphile-worker's own retry is the net under that.
 */
export const createDeliverTask =
  (deliver: (keys: readonly DeliveryKey[]) => Promise<void>): Task =>
  (payload) =>
    deliver(keysOf(payload));

/** Stands in a task list until the preset puts the real task in its place. */
export const outbox_deliver: Task = () => {
  throw new PostriderError("POSTRIDER_PRESET_MISSING", "add extends: [postrider()] to graphile.config.ts");
};
