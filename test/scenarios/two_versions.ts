/**
 * A deploy: workers of an older and a newer version at one database, whose jobs are of the newer. The older one leaves them
 * alone, for as long as it is there; the newer one delivers everything, once.
 */
import assert from "node:assert/strict";
import { insertEvents } from "../bench/support.ts";
import { within } from "../chaos/support/ledger.ts";
import { newerPreset, writeNewerJobs } from "../support/newer.ts";
import { startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const limitMs = 60_000;

export const run = async ({ serverUrl, smoke }: Stage) => {
  const events = smoke ? 1_000 : 20_000;
  const aloneMs = smoke ? 2_000 : 20_000;
  await using receiver = await startReceiver({ record: "count" });
  await using database = await stageDatabase(serverUrl, "two_versions", receiver.url);
  const { pool } = database;
  await writeNewerJobs(pool);
  const one = async (sql: string) => (await pool.query(sql)).rows[0];

  await using older = await startTestWorker(database);
  await insertEvents(pool, events);
  const startedAt = performance.now();
  await older.logged(({ msg }) => msg === "jobs of a newer Postrider are left to its workers");
  await within(limitMs, "the older one has been alone for a while", () => performance.now() - startedAt > aloneMs);
  const { jobs, failed, touches } = await one(
    `select count(*)::int as jobs, count(*) filter (where last_error is not null or attempts > 0)::int as failed,
       max(id)::float / count(*) - 1 as touches
     from graphile_worker._private_jobs`,
  );
  assert.deepEqual({ jobs, failed, received: receiver.count }, { jobs: events / 100, failed: 0, received: 0 });

  const joinedAt = performance.now();
  await using newer = await startTestWorker(database, { preset: newerPreset });
  await within(limitMs, "all delivered", async () => {
    const { left } = await one("select count(*)::int as left from outbox.deliveries where status <> 'delivered'");
    return left === 0;
  });
  const deliveredMs = performance.now() - joinedAt;
  const { workerId } = await newer.logged(({ msg }) => msg === "worker joined");
  const attempts = await pool.query(
    "select worker_id, outcome::text, count(*)::int from outbox.attempts group by 1, 2",
  );
  assert.deepEqual(attempts.rows, [{ worker_id: workerId, outcome: "delivered", count: events }]);
  assert.equal(receiver.count, events);
  return {
    events,
    older_alone_s: aloneMs / 1000,
    touches_of_a_job_by_the_older: touches,
    delivered_by_newer_after_s: deliveredMs / 1000,
  };
};
