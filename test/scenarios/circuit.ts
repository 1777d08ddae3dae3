/**
 * A destination is dead while a million deliveries wait for it, then heals. The job table stays small, others go on, only
 * probes are spent on the dead one, and when it is back everything arrives, in a ramp.
 */
import { insertEvents, startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import {
  addWebhook,
  insertSteadily,
  percentiles,
  promise,
  stageDatabase,
  startStampReceiver,
  until,
} from "./support.ts";

const attemptsMax = 5_000;
const jobsMax = 500;
/** While a million deliveries are being held. */
const p99MsMax = 1_000;

export const run = async ({ serverUrl, smoke }: Stage) => {
  const events = smoke ? 3_000 : 1_000_000;
  const seconds = smoke ? 1 : 20;
  await using database = await stageDatabase(serverUrl, "circuit");
  const { pool } = database;
  await using live = await startStampReceiver();
  const closed = await startStampReceiver();
  await closed[Symbol.asyncDispose]();
  await addWebhook(pool, { url: live.url, topics: ["order.created"] });
  const dead = await addWebhook(pool, { url: closed.url, topics: ["order.paid"] });
  await using _worker = await startWorkerProcess(database.url);

  const latency = async () => {
    const before = live.count();
    const sent = await insertSteadily(pool, { topic: "order.created", perSecond: 100, seconds });
    await until("live events arrive", () => live.count() === before + sent);
    return percentiles(live.takeLatenciesMs());
  };
  const number = async (sql: string): Promise<number> => Number((await pool.query(sql)).rows[0].n);
  const jobs = () => number("select count(*) as n from graphile_worker._private_jobs");
  const attempts = () => number(`select count(*) as n from outbox.attempts where destination_id = '${dead}'`);
  const held = () => number(`select held as n from outbox.destination_status where id = '${dead}'`);

  await latency();
  const alone = await latency();
  await insertEvents(pool, events);
  const heldFrom = performance.now();
  await until("the circuit opens", async () => (await number("select count(*) as n from outbox.holds")) === 1);
  const beside = await latency();
  await until("all is held", async () => (await held()) > events * 0.99 - attemptsMax && (await jobs()) < jobsMax);
  const heldAfterSeconds = (performance.now() - heldFrom) / 1000;
  const spent = { jobs: await jobs(), attempts: await attempts() };

  await using healed = await startStampReceiver();
  await pool.query("select outbox.update_destination($1, config => jsonb_build_object('url', $2::text))", [
    dead,
    healed.url,
  ]);
  const healedAt = performance.now();
  await until("everything arrives", async () => healed.count() >= events);
  const arrivedAfterSeconds = (performance.now() - healedAt) / 1000;

  const figures = {
    events,
    otherP99MsAlone: alone.p99Ms,
    otherP99MsBeside: beside.p99Ms,
    heldAfterSeconds,
    jobsWhileDead: spent.jobs,
    attemptsWhileDead: spent.attempts,
    arrivedAfterSeconds,
    arrivalsPerSecond: healed.arrivalsPerSecond().slice(0, 12),
  };
  promise(spent.attempts <= attemptsMax, "attempts on the dead destination are few", figures);
  promise(smoke || beside.p99Ms <= p99MsMax, "of the others 99 in 100 come within a second", figures);
  return figures;
};
