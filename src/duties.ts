/** The duties of a live worker, and how often each is due. */
import type { Duty } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Connections, ConnectionsOptions } from "./connections.ts";
import { inspectDestinations, sealOldSecrets } from "./inspection.ts";
import type { Log } from "./log.ts";
import { evaluateAlerts } from "./queries/alerts.ts";
import {
  disableFailing,
  expireDeliveries,
  fanOutDeferred,
  holdStrays,
  maintainPartitions,
  prune,
  pruneRows,
  raiseOldJobs,
  reconcile,
  refreshJobStatistics,
  releaseHeld,
  scheduleDue,
  sweepWorkers,
} from "./queries/duties.ts";
import { advanceReplays } from "./queries/replays.ts";

/** What the duties need. */
export interface DutiesOptions extends ConnectionsOptions {
  readonly connections: Connections;
  readonly config: Config;
  readonly log: Log;
  /** Tells the fleet that this worker lives. */
  readonly stayAlive: () => Promise<void>;
}

const hourMs = 3_600_000;
const once = async (work: Promise<unknown>): Promise<boolean> => {
  await work;
  return false;
};
const untilNone = async (count: Promise<number>): Promise<boolean> => (await count) > 0;

/** The duties of one worker process. */
export const createDuties = (options: DutiesOptions): readonly Duty[] => {
  const { kysely } = options.database;
  const told = new Map<string, string | null>();
  /** Says of each day once why it stays. */
  const pruneAll = async (): Promise<void> => {
    for (const day of await prune(kysely, options.config.retentionDays)) {
      if (told.get(day.partition) !== day.reason) options.log.info({ ...day }, "prune");
      told.set(day.partition, day.reason);
    }
  };
  return [
    { name: "heartbeat", everyMs: 2_000, run: () => once(options.stayAlive()) },
    { name: "sweep_workers", everyMs: 2_000, run: () => once(sweepWorkers(kysely)) },
    { name: "fan_out_deferred", everyMs: 100, run: () => untilNone(fanOutDeferred(kysely)) },
    { name: "refresh_job_statistics", everyMs: 500, run: () => once(refreshJobStatistics(kysely)) },
    { name: "schedule_due", everyMs: 500, run: () => untilNone(scheduleDue(kysely)) },
    { name: "raise_old_jobs", everyMs: 1_000, run: () => once(raiseOldJobs(kysely)) },
    { name: "release_held", everyMs: 250, run: () => once(releaseHeld(kysely)) },
    { name: "expire_deliveries", everyMs: 5_000, run: () => untilNone(expireDeliveries(kysely)) },
    { name: "advance_replays", everyMs: 100, run: () => advanceReplays(kysely) },
    { name: "evaluate_alerts", everyMs: 5_000, run: () => untilNone(evaluateAlerts(kysely)) },
    { name: "inspect_destinations", everyMs: 1_000, run: () => inspectDestinations(options) },
    { name: "seal_old_secrets", everyMs: 10_000, run: () => once(sealOldSecrets(options)) },
    { name: "hold_strays", everyMs: 15_000, run: () => once(holdStrays(kysely)) },
    { name: "disable_failing", everyMs: 30_000, run: () => once(disableFailing(kysely)) },
    { name: "reconcile", everyMs: 15_000, run: () => once(reconcile(kysely)) },
    { name: "close_idle", everyMs: 60_000, run: () => once(options.connections.closeIdle()) },
    { name: "maintain_partitions", everyMs: hourMs, run: () => once(maintainPartitions(kysely)) },
    { name: "prune", everyMs: 20_000, run: () => once(pruneAll()) },
    { name: "prune_rows", everyMs: 1_000, run: () => once(pruneRows(kysely)) },
  ];
};
