/** What is done to the database under load: locks, long transactions, maintenance, and `postrider migrate` run again. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startProgram } from "../../support/command.ts";
import type { Random } from "../random.ts";
import type { Fault, Stage } from "../stage.ts";
import { type Client, last, openClient } from "./support.ts";

const lockWaitMax = "2s";

const isLockTimeout = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "55P03";

/** What waits too long for a lock is given up, as a careful admin would; whoever came behind it had to wait. */
const unlessLocked = async (work: Promise<unknown>): Promise<void> => {
  try {
    await work;
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
  }
};

/** Locks a table as a careless admin would, in a transaction that stays open for a while. */
const lock =
  (table: string, mode: string) =>
  async (stage: Stage, random: Random): Promise<void> => {
    await using client = await openClient(stage);
    await client.query("begin");
    await client.query(`set local lock_timeout = '${lockWaitMax}'`);
    await unlessLocked(client.query(`lock table ${table} in ${mode} mode`).then(() => last(random, 800, 2_000)));
    await client.query("rollback");
  };

/** Locks the rows that fan-out and claims look at. */
const lockDestinations = async (stage: Stage, random: Random): Promise<void> => {
  await using client = await openClient(stage);
  await client.query("begin");
  await client.query(`set local lock_timeout = '${lockWaitMax}'`);
  await unlessLocked(
    client.query("select from outbox.destinations order by id for update").then(() => last(random, 800, 2_000)),
  );
  await client.query("rollback");
};

/** In one statement, as the engine makes days: nobody sees a part of one. */
const makeOldDay = (client: Client, daysAgo: number): Promise<void> =>
  unlessLocked(
    client.query(
      `select outbox.create_partition(parent, current_date - $1::integer)
       from unnest('{events,deliveries,attempts}'::text[]) as p (parent)`,
      [daysAgo],
    ),
  );

/** A report that reads for long, while days are made before and dropped behind it. */
const holdBack = async (stage: Stage, random: Random): Promise<void> => {
  await using reader = await openClient(stage);
  await using keeper = await openClient(stage);
  await keeper.query(`set lock_timeout = '${lockWaitMax}'`);
  await makeOldDay(keeper, random.whole(60, 90));
  await reader.query("begin isolation level repeatable read");
  await reader.query("select count(*) from outbox.events");
  await unlessLocked(keeper.query("select outbox.maintain_partitions($1)", [random.whole(8, 12)]));
  await keeper.query("select from outbox.prune()");
  await last(random, 500, 2_000);
  await reader.query("select count(*) from outbox.deliveries");
  await reader.query("rollback");
  await keeper.query("select from outbox.prune()");
};

/** Rewrites tables that are in use. */
const rewrite = async (stage: Stage, random: Random): Promise<void> => {
  await using client = await openClient(stage);
  await client.query(`set lock_timeout = '${lockWaitMax}'`);
  const table = random.pick(["graphile_worker._private_jobs", "outbox.destinations", "outbox.workers"]);
  await unlessLocked(client.query(`vacuum (full, analyze) ${table}`));
};

const migrateMsMax = 60_000;
const migrateAgainAfterMs = 250;

/** Until it succeeds: other faults may take the database from it. */
const migrate = async ({ packageDir, databaseUrlOfWorkers }: Stage): Promise<void> => {
  const args = [join(packageDir, "src", "launch.mjs"), "migrate"];
  const env = { DATABASE_URL: databaseUrlOfWorkers };
  for (const since = performance.now(); ; await pause(migrateAgainAfterMs)) {
    await using command = startProgram(process.execPath, args, { env });
    const { code, stderr } = await command.ended;
    if (code === 0) return;
    if (performance.now() - since > migrateMsMax) throw new Error(`postrider migrate fails: ${stderr}`);
  }
};

/** A release that touched every function: migrate has all of them to write again. */
const forgetFunctions = ({ admin }: Stage): Promise<unknown> =>
  admin.query("delete from outbox.applied_files where path not like 'migrations/%'");

export const maintenanceFaults: readonly Fault[] = [
  { name: "events_locked", lane: "database", strike: lock("outbox.events", "access exclusive") },
  { name: "deliveries_locked", lane: "database", strike: lock("outbox.deliveries", "access exclusive") },
  { name: "deliveries_locked_against_writing", lane: "database", strike: lock("outbox.deliveries", "share") },
  { name: "attempts_locked", lane: "database", strike: lock("outbox.attempts", "access exclusive") },
  { name: "jobs_locked", lane: "database", strike: lock("graphile_worker._private_jobs", "share row exclusive") },
  { name: "destinations_locked", lane: "database", strike: lockDestinations },
  { name: "long_transaction_during_maintenance", lane: "database", strike: holdBack },
  { name: "tables_rewritten", lane: "database", strike: rewrite },
  { name: "migrated_again", lane: "fleet", weight: 0.5, strike: migrate },
  {
    name: "migrated_by_two",
    lane: "fleet",
    weight: 0.3,
    strike: async (stage) => {
      await Promise.all([migrate(stage), migrate(stage)]);
    },
  },
  {
    name: "functions_written_anew",
    lane: "fleet",
    weight: 0.5,
    strike: async (stage) => {
      await forgetFunctions(stage);
      await migrate(stage);
    },
  },
];
