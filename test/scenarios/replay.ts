/**
 * History is replayed at a rate while live events go on: how well the rate is kept, what it costs the live events, and
 * that every event arrives as often as it should.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type pg from "pg";
import { insertEvents, startWorkerProcess } from "../bench/support.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import type { Stage } from "./run.ts";
import { percentile, stageDatabase, until } from "./support.ts";

const idOf = ({ headers }: ReceivedRequest): string => String(headers["webhook-id"]);

/** Inserts so many events a second, each in its own transaction, until told to stop; returns when each was inserted. */
const startLive = (pool: pg.Pool, perSecond: number) => {
  const insertedAt = new Map<string, number>();
  const stopping = new AbortController();
  const running = (async () => {
    for (let due = Date.now(); !stopping.signal.aborted; due += 1000 / perSecond) {
      await pause(Math.max(0, due - Date.now()));
      const at = Date.now();
      const { rows } = await pool.query(
        "insert into outbox.events (topic, payload) values ('order.paid', '{\"live\": true}') returning id",
      );
      insertedAt.set(rows[0].id, at);
    }
  })();
  return {
    stop: async (): Promise<ReadonlyMap<string, number>> => {
      stopping.abort();
      await running;
      return insertedAt;
    },
  };
};

/** Milliseconds from insert to arrival of 99 of 100, after all of them came. */
const liveP99 = async (receiver: Receiver, insertedAt: ReadonlyMap<string, number>): Promise<number> => {
  const arrivals = () => receiver.requests.filter((request) => insertedAt.has(idOf(request)));
  await until("the live events arrived", async () => arrivals().length >= insertedAt.size);
  return percentile(
    arrivals().map((request) => request.receivedAt.getTime() - (insertedAt.get(idOf(request)) ?? 0)),
    0.99,
  );
};

/** The most of these times that lie within one second. */
const mostInASecond = (times: readonly number[]): number => {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  return sorted.reduce((most, time, last) => {
    while ((sorted[first] ?? time) <= time - 1000) first += 1;
    return Math.max(most, last - first + 1);
  }, 0);
};

export const run = async ({ serverUrl, smoke }: Stage) => {
  const history = smoke ? 1_000 : 20_000;
  const rate = 500;
  const livePerSecond = smoke ? 20 : 50;
  const quietMs = smoke ? 1_000 : 20_000;
  await using receiver = await startReceiver();
  await using database = await stageDatabase(serverUrl, "replay", receiver.url);
  const { pool } = database;
  await using _worker = await startWorkerProcess(database.url);
  await insertEvents(pool, history);
  await until("history arrived", async () => receiver.count >= history);
  await until("history is recorded", async () => {
    const { rows } = await pool.query("select count(*)::int as n from outbox.deliveries where status <> 'delivered'");
    return rows[0].n === 0;
  });

  const quiet = startLive(pool, livePerSecond);
  await pause(quietMs);
  const before = await quiet.stop();
  const p99Without = await liveP99(receiver, before);

  const old = new Set(receiver.requests.map(idOf));
  const first = receiver.requests.length;
  const live = startLive(pool, livePerSecond);
  const max = history;
  await pool.query(
    `select outbox.replay((select id from outbox.subscriptions), since => '-infinity', rate => $1, max => $2, topics => '{order.paid}',
       filter => '{"live": {"$exists": false}}')`,
    [rate, max],
  );
  await until("the replay is done", async () => {
    const { rows } = await pool.query("select status, waiting::int from outbox.replay_progress");
    return rows[0].status === "done" && rows[0].waiting === 0;
  });
  const during = await live.stop();
  const p99With = await liveP99(receiver, during);

  const { rows } = await pool.query(
    "select repeated::int, extract(epoch from finished_at - created_at)::float8 as seconds from outbox.replays",
  );
  const [{ repeated, seconds }] = rows;
  assert.equal(repeated, history);
  assert.ok(repeated / seconds <= rate, `${repeated / seconds} a second are more than ${rate}`);
  const times = new Map<string, number>();
  for (const request of receiver.requests) times.set(idOf(request), (times.get(idOf(request)) ?? 0) + 1);
  for (const [id, n] of times) {
    const expected = old.has(id) && !before.has(id) ? 2 : 1;
    assert.equal(n, expected, `${id} arrived ${n} times instead of ${expected}`);
  }
  assert.equal(times.size, history + before.size + during.size);
  const replayed = receiver.requests.slice(first).filter((request) => old.has(idOf(request)));
  return {
    history,
    rate_per_second: rate,
    replayed_per_second: repeated / seconds,
    most_arrivals_in_a_second: mostInASecond(replayed.map(({ receivedAt }) => receivedAt.getTime())),
    live_per_second: livePerSecond,
    live_p99_ms_without: p99Without,
    live_p99_ms_with: p99With,
  };
};
