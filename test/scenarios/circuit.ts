/**
 * A destination is dead while a million deliveries wait for it, then heals. The job table stays small, others' p99 at most
 * doubles, only probes are spent on the dead one, and when it is back everything arrives, in a ramp.
 */
import { addTenants, measureLatency, startLatencyReceiver, startTraffic } from "../bench/latency.ts";
import { insertEvents, startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import { addWebhook, promise, stageDatabase, startArrivalReceiver, until } from "./support.ts";

const attemptsMax = 5_000;
const jobsMax = 500;
/** A p99 below this is the machine's, not the engine's. */
const p99MsMin = 50;

export const run = async ({ serverUrl, smoke }: Stage) => {
  const events = smoke ? 3_000 : 1_000_000;
  await using database = await stageDatabase(serverUrl, "circuit");
  const { pool } = database;
  await using live = await startLatencyReceiver();
  const closed = await startArrivalReceiver();
  await closed[Symbol.asyncDispose]();
  await addTenants(pool, live, 50);
  const dead = await addWebhook(pool, { url: closed.url, topics: ["order.paid"] });
  await using _worker = await startWorkerProcess(database.url);

  const number = async (sql: string): Promise<number> => Number((await pool.query(sql)).rows[0].n);
  const jobs = () => number("select count(*) as n from graphile_worker._private_jobs");
  const untried = () =>
    number(
      `select count(*) as n from outbox.deliveries where destination_id = '${dead}' and status = 'pending' and attempt_count = 0`,
    );
  const attempts = () => number(`select count(*) as n from outbox.attempts where destination_id = '${dead}'`);

  const traffic = { databaseUrl: database.url, receiver: live, tenants: 50, eventsPerSecond: 100 };
  await measureLatency(traffic, smoke ? 1 : 5);
  const alone = await measureLatency(traffic, smoke ? 1 : 20);
  const running = startTraffic(traffic);
  await insertEvents(pool, events);
  const committedAt = performance.now();
  await until("all is held", async () => (await jobs()) < jobsMax && (await untried()) === 0, 1_000);
  const heldAfterSeconds = (performance.now() - committedAt) / 1000;
  const whileComing = await running.stop();
  const whileHeld = await measureLatency(traffic, smoke ? 1 : 20);
  const spent = { jobs: await jobs(), attempts: await attempts() };

  await using healed = await startArrivalReceiver();
  await pool.query("select outbox.update_destination($1, config => jsonb_build_object('url', $2::text))", [
    dead,
    healed.url,
  ]);
  const healedAt = performance.now();
  const runningOn = startTraffic(traffic);
  await until("everything arrives", () => healed.count() >= events);
  const arrivedAfterSeconds = (performance.now() - healedAt) / 1000;
  const whileReturning = await runningOn.stop();
  const figures = {
    events,
    alone,
    whileComing,
    whileHeld,
    whileReturning,
    heldAfterSeconds,
    jobsWhileDead: spent.jobs,
    attemptsWhileDead: spent.attempts,
    arrivedAfterSeconds,
    arrivalsPerSecond: healed.arrivalsPerSecond().slice(0, 12),
  };
  promise(spent.attempts <= attemptsMax, "attempts on the dead destination are few", figures);
  const p99Ms = Math.max(whileComing.p99Ms, whileHeld.p99Ms);
  promise(smoke || p99Ms <= 2 * Math.max(alone.p99Ms, p99MsMin), "the others' p99 at most doubles", figures);
  return figures;
};
