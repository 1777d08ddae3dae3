/**
 * One delivery in a batch kills every worker that takes it. Workers are started again as a supervisor would, until the
 * deadly one is in quarantine and everything beside it has been delivered.
 */
import assert from "node:assert/strict";
import { migrate } from "../../src/index.ts";
import { deadly, fragile } from "../chaos/support/fragile.ts";
import { within } from "../chaos/support/ledger.ts";
import { spawnWorker } from "../chaos/support/worker.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const limitMs = { settled: 300_000, next: 30_000 };

export const run = async ({ serverUrl, smoke }: Stage) => {
  const innocents = smoke ? 9 : 499;
  await using database = await stageDatabase(serverUrl, "poison");
  const { pool, url } = database;
  await migrate({ connectionString: url, destinations: [fragile] });
  await pool.query("select outbox.create_destination('fragile', '{}')");
  await pool.query(
    `insert into outbox.events (topic, payload)
     select 'order.paid', case n when $1 / 3 then '{"what": ${deadly}}' else '{}' end::json from generate_series(0, $1) as n`,
    [innocents],
  );
  const left = async (what: string): Promise<number> =>
    (await pool.query(`select count(*)::int as n from outbox.deliveries where ${what}`)).rows[0].n;

  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  let deaths = 0;
  let quarantinedAfter: number | undefined;
  for (let settled = false; !settled; ) {
    await using worker = spawnWorker(url, {}, "fragile");
    await within(limitMs.settled, "all settled, or the worker dead", async () => {
      if (quarantinedAfter === undefined && (await left("status = 'dead'")) === 1) quarantinedAfter = seconds();
      settled = (await left("status = 'pending'")) === 0;
      return settled || !worker.isAlive;
    });
    if (settled) break;
    assert.equal((await worker.exit).signal, "SIGKILL");
    deaths += 1;
    assert.ok(deaths <= 3, "the deadly one is in quarantine after three deaths");
    // The small size does not wait until the lease of the dead has run out.
    if (smoke) await pool.query("update outbox.workers set heartbeat_at = heartbeat_at - interval '1 minute'");
  }
  const settledAfter = seconds();

  const { rows } = await pool.query(
    `select d.status::text, d.error_code, count(*)::int, max(d.attempt_count) as attempts_max, bool_or(e.payload::text like '%deadly%') as deadly
     from outbox.deliveries as d join outbox.events as e on e.id = d.event_id group by 1, 2 order by 1`,
  );
  assert.deepEqual(
    rows.map(({ attempts_max: _, ...row }) => row),
    [
      { status: "delivered", error_code: null, count: innocents, deadly: false },
      { status: "dead", error_code: "poison", count: 1, deadly: true },
    ].toSorted((a, b) => (a.status < b.status ? -1 : 1)),
  );
  assert.equal(deaths, 3);
  return {
    innocents_delivered: innocents,
    worker_deaths: deaths,
    quarantined_after_s: quarantinedAfter,
    all_settled_after_s: settledAfter,
    attempts_of_an_innocent_max: rows.find(({ status }) => status === "delivered")?.attempts_max,
  };
};
