/**
 * A rate and a number of places of one destination hold over two worker processes. The receiver counts what comes in each
 * second, and how many requests are open at once.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { insertEvents, startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import { addWebhook, promise, stageDatabase, startArrivalReceiver, until } from "./support.ts";

const rate = 200;
const burst = 100;
const inFlightMax = 5;
const answerMs = 20;

/** A receiver that takes its time and counts its open requests. */
const startSlowReceiver = async () => {
  let open = 0;
  let openMax = 0;
  let count = 0;
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    open += 1;
    openMax = Math.max(openMax, open);
    request.resume();
    setTimeout(() => {
      open -= 1;
      count += 1;
      response.end("ok");
    }, answerMs);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    count: () => count,
    openMax: () => openMax,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};

/** The most of these times, in milliseconds, that lie within any second. */
const mostInASecond = (timesMs: readonly number[]): number =>
  timesMs.reduce((most, at, n) => {
    let last = n;
    while (last + 1 < timesMs.length && (timesMs[last + 1] as number) < at + 1000) last += 1;
    return Math.max(most, last - n + 1);
  }, 0);

/** Attempts are looked at where they start, by the server's clock: on their way to the receiver a busy machine may bunch them. */
const measureRate = async (serverUrl: string, events: number) => {
  await using database = await stageDatabase(serverUrl, "limits_rate");
  const { pool } = database;
  await using receiver = await startArrivalReceiver();
  await addWebhook(pool, { url: receiver.url, topics: ["*"], policy: { rate_per_second: rate, burst } });
  await using _one = await startWorkerProcess(database.url);
  await using _two = await startWorkerProcess(database.url);
  await insertEvents(pool, events);
  const startsSql =
    "select extract(epoch from started_at)::float8 * 1000 as ms from outbox.attempts order by started_at";
  await until("all are recorded", async () => (await pool.query(startsSql)).rowCount === events, 500);
  const startedAtMs = (await pool.query<{ ms: number }>(startsSql)).rows.map(({ ms }) => ms);
  const seconds = ((startedAtMs.at(-1) ?? 0) - (startedAtMs[0] ?? 0)) / 1000;
  const most = mostInASecond(startedAtMs);
  const figures = { ratePerSecond: rate, burst, attemptsPerSecond: events / seconds, mostInASecond: most };
  promise(most <= rate + burst + rate / 10, "no second has more than the rate and the burst", figures);
  promise(seconds >= (events - burst) / rate - 0.5, "all take as long as the rate says", figures);
  return figures;
};

const measureInFlight = async (serverUrl: string, events: number) => {
  await using database = await stageDatabase(serverUrl, "limits_in_flight");
  await using receiver = await startSlowReceiver();
  await addWebhook(database.pool, { url: receiver.url, topics: ["*"], policy: { in_flight_max: inFlightMax } });
  await using _one = await startWorkerProcess(database.url);
  await using _two = await startWorkerProcess(database.url);
  await insertEvents(database.pool, events);
  const startedAt = performance.now();
  await until("all arrive", () => receiver.count() === events);
  const perSecond = events / ((performance.now() - startedAt) / 1000);
  const figures = { inFlightMax, openMax: receiver.openMax(), deliveriesPerSecond: perSecond };
  promise(receiver.openMax() <= inFlightMax, "no more are open at once than may be", figures);
  return figures;
};

export const run = async ({ serverUrl, smoke }: Stage) => ({
  ...(await measureRate(serverUrl, smoke ? 1_000 : 4_000)),
  ...(await measureInFlight(serverUrl, smoke ? 1_000 : 2_000)),
});
