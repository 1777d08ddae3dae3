/** A destination with a backlog answers after 30 s: it takes no more than its share of places, and of the others 99 in 100 come within half a second. */
import { addTenants, measureLatency, startLatencyReceiver, startTraffic } from "../bench/latency.ts";
import { startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

/** A worker's places (POSTRIDER_IN_FLIGHT), of which a single destination gets three quarters at most. */
const placesMax = 680;
/** While the slow one's jobs are let go. */
const p99MsMax = 500;

/** Measures the others' latency without and with the slow one, and the most places that it held. */
export const run = async ({ serverUrl, smoke }: Stage) => {
  const size = smoke
    ? { tenants: 5, eventsPerSecond: 50, answerMs: 3_000, bulk: 4_000, singles: 300, seconds: 2 }
    : { tenants: 100, eventsPerSecond: 200, answerMs: 30_000, bulk: 4_000, singles: 1_000, seconds: 30 };
  await using receiver = await startLatencyReceiver();
  await using database = await stageDatabase(serverUrl, "slow_destination");
  const { pool } = database;
  await addTenants(pool, receiver, size.tenants);
  await pool.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), tenant_id => 'slow',
       policy => '{"timeout_seconds": 60}')`,
    [`${receiver.url}/slow/${size.answerMs}`],
  );
  await using _worker = await startWorkerProcess(database.url);
  const traffic = { databaseUrl: database.url, receiver, ...size };
  await measureLatency(traffic, Math.ceil(size.seconds / 4));
  const without = await measureLatency(traffic, size.seconds);

  const running = startTraffic(traffic);
  // In one statement, and one by one: a job for each hundred, and a job for each.
  await pool.query(
    `insert into outbox.events (tenant_id, topic, payload) select 'slow', 'order.paid', '{}' from generate_series(1, ${size.bulk});
     do $$ begin
       for n in 1..${size.singles} loop
         insert into outbox.events (tenant_id, topic, payload) values ('slow', 'order.paid', '{}');
       end loop;
     end $$`,
  );
  let placesHeld = 0;
  const until = performance.now() + size.seconds * 1_000;
  while (performance.now() < until) {
    const { rows } = await pool.query(
      "select count(claimed_by)::integer as held from outbox.deliveries where tenant_id = 'slow'",
    );
    placesHeld = Math.max(placesHeld, rows[0]?.held);
    await receiver.until("the slow one's first", () => receiver.slow() > 0);
  }
  const under = await running.stop();
  const { rows: spent } = await pool.query(
    "select count(*)::integer as postponed from outbox.deliveries where tenant_id = 'slow' and next_attempt_at is not null and attempt_count = 0",
  );
  if (placesHeld > (placesMax * 3) / 4)
    throw new Error(`the slow destination held ${placesHeld} of ${placesMax} places`);
  if (!smoke && under.p99Ms > p99MsMax) throw new Error(`the others' p99 was ${under.p99Ms} ms`);
  return { ...size, without, under, p99Ratio: under.p99Ms / without.p99Ms, placesHeld, ...spent[0] };
};
