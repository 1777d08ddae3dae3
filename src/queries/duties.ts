/** What any live worker does by the clock. Each is one call, safe to make from all workers at once. */
import { type Kysely, sql } from "kysely";

const count = async (kysely: Kysely<unknown>, query: ReturnType<typeof sql<{ count: number }>>): Promise<number> =>
  (await query.execute(kysely)).rows[0]?.count ?? 0;

/** Gives up workers without a heartbeat and frees their jobs. Returns how many were lost. */
export const sweepWorkers = (kysely: Kysely<unknown>) =>
  count(kysely, sql`select count(*)::integer as count from outbox.sweep_workers()`);

/** Gives jobs to deliveries that are due within a minute. Returns how many. */
export const scheduleDue = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.schedule_due() as count`);

/** Gives old jobs of low priority the highest. Returns how many. */
export const raiseOldJobs = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.raise_old_jobs() as count`);

/** Fans out what was committed deferred. Returns how many events. */
export const fanOutDeferred = (kysely: Kysely<unknown>) =>
  count(kysely, sql`select outbox.fan_out_deferred() as count`);

/** Sends due probes, and puts back to work what is held as far as ramps and limits allow. Returns how many. */
export const releaseHeld = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.release_held() as count`);

/** Has held deliveries put back that a release has missed. Returns of how many destinations. */
export const holdStrays = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.hold_strays() as count`);

/** Disables destinations that did nothing but fail for the time of their policy. Returns how many. */
export const disableFailing = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.disable_failing() as count`);

/** Ends held deliveries whose time is over. Returns how many. */
export const expireDeliveries = (kysely: Kysely<unknown>) =>
  count(kysely, sql`select outbox.expire_deliveries() as count`);

/** Finds deliveries without a job and events without fan-out. Returns how many were mended. */
export const reconcile = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.reconcile() as count`);

/** Analyses the job table when a backlog has grown on an empty one: cached plans are made anew. */
export const refreshJobStatistics = async (kysely: Kysely<unknown>): Promise<void> => {
  await sql`select outbox.refresh_job_statistics()`.execute(kysely);
};

/** Makes the partitions of the days ahead. */
export const maintainPartitions = async (kysely: Kysely<unknown>): Promise<void> => {
  await sql`select outbox.maintain_partitions()`.execute(kysely);
};

/** Deletes rows of topics that are past their retention from a day that is kept for others. Returns how many events. */
export const pruneRows = (kysely: Kysely<unknown>) => count(kysely, sql`select outbox.prune_rows() as count`);

/** A day that is past its retention. */
export interface PrunedPartition {
  readonly partition: string;
  readonly dropped: boolean;
  readonly reason: string | null;
}

/** Drops days that are past the retention and finished. */
export const prune = async (kysely: Kysely<unknown>, retentionDays: number): Promise<readonly PrunedPartition[]> =>
  (
    await sql<PrunedPartition>`
      select partition, dropped, reason from outbox.prune(make_interval(days => ${retentionDays}))`.execute(kysely)
  ).rows;
