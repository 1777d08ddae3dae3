/** One tenant of 1,000 inserts 200,000 events in one statement while each of the others inserts one a second: their p99 at most doubles. */
import {
  addTenants,
  measureLatency,
  requireAtMostDoubled,
  startLatencyReceiver,
  startTraffic,
} from "../bench/latency.ts";
import { startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

/**
 * Measures the others' latency from commit to arrival without the flood, for a minute, so that what workers do once a minute is in
 * both figures; and from the flood's statement until it is through.
 */
export const run = async ({ serverUrl, smoke }: Stage) => {
  const size = smoke ? { tenants: 50, flood: 5_000, seconds: 1 } : { tenants: 1_000, flood: 200_000, seconds: 60 };
  await using receiver = await startLatencyReceiver();
  await using database = await stageDatabase(serverUrl, "fairness");
  const { pool } = database;
  await addTenants(pool, receiver, size.tenants);
  await pool.query(
    "select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), tenant_id => 'flood')",
    [`${receiver.url}/count`],
  );
  await using _worker = await startWorkerProcess(database.url);
  const traffic = { databaseUrl: database.url, receiver, tenants: size.tenants, eventsPerSecond: size.tenants };
  await measureLatency(traffic, Math.ceil(size.seconds / 6));
  const without = await measureLatency(traffic, size.seconds);

  const running = startTraffic(traffic);
  const startedAt = performance.now();
  await pool.query(
    `insert into outbox.events (tenant_id, topic, payload)
     select 'flood', 'order.paid', json_build_object('n', n) from generate_series(1, $1) as n`,
    [size.flood],
  );
  const insertSeconds = (performance.now() - startedAt) / 1_000;
  await receiver.until("the flood", () => receiver.counted() >= size.flood);
  const floodSeconds = (performance.now() - startedAt) / 1_000;
  const under = await running.stop();
  if (!smoke) requireAtMostDoubled(without, under);
  return { ...size, without, under, p99Ratio: under.p99Ms / without.p99Ms, insertSeconds, floodSeconds };
};
