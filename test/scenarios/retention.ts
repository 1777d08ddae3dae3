/** Days are pruned, by partition and by rows, while producers insert: how long the longest of their pauses is. */
import assert from "node:assert/strict";
import pg from "pg";
import { startReceiver, startWorkerProcess } from "../bench/support.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const sizes = {
  smoke: { days: 9, mixedDays: 1, eventsPerDay: 1_000, seconds: 1, tries: 3 },
  full: { days: 30, mixedDays: 3, eventsPerDay: 30_000, seconds: 10, tries: 20 },
};
const connections = 4;
/** What pruning may add to the longest pause of a producer: the locks' 150 ms, and what the machine does meanwhile. */
const pauseMsMax = 1_000;

/** Past days of delivered events; in the oldest ones, one event in a hundred is of a topic that is kept longer. */
const fillSql = `
  with days as (
    select n as day, n > $1 - $2 as is_mixed, date_trunc('day', now(), 'UTC') - make_interval(days => 40 + n) as at
    from generate_series(1, $1) as n
  ), created as (
    insert into outbox.events (id, topic, created_at, occurred_at, payload)
    select overlay(gen_random_uuid()::text placing left(outbox.uuid_at(d.at + g * interval '0.8 seconds')::text, 13) from 1)::uuid,
      case when d.is_mixed and g % 100 = 0 then 'audit.login' else 'order.paid' end, d.at, d.at, '{"total": 12.50}'
    from days as d, generate_series(1, $3::int) as g
    returning id, seq, tenant_id
  ), delivered as (
    insert into outbox.deliveries
      (event_id, subscription_id, destination_id, tenant_id, seq, status, attempt_count, last_attempt_at, finished_at)
    select c.id, s.id, s.destination_id, c.tenant_id, c.seq, 'delivered', 1, now(), now()
    from created as c, outbox.subscriptions as s
    returning event_id, subscription_id, destination_id
  )
  insert into outbox.attempts (event_id, subscription_id, number, outcome, started_at, trigger, worker_id, destination_id)
  select d.event_id, d.subscription_id, 1, 'delivered', now(), 'event', gen_random_uuid(), d.destination_id from delivered as d`;

const fill = async (pool: pg.Pool, { days, mixedDays, eventsPerDay }: (typeof sizes)["full"]): Promise<void> => {
  const client = await pool.connect();
  try {
    await client.query(
      `select outbox.create_partition(parent, (now() at time zone 'UTC')::date - 40 - n)
       from generate_series(1, $1::int) as n, unnest('{events,deliveries,attempts}'::text[]) as parent`,
      [days],
    );
    await client.query("set session_replication_role = replica");
    await client.query(fillSql, [days, mixedDays, eventsPerDay]);
    await client.query("reset session_replication_role");
    await client.query("update outbox.instance set frontier = outbox.uuid_at(now())");
    await client.query("select outbox.set_retention('audit.*', '400 days')");
  } finally {
    client.release();
  }
};

/** Lets producers insert one event after the other while something is done; returns the milliseconds of each insert. */
const whileProducing = async (url: string, work: () => Promise<unknown>): Promise<readonly number[]> => {
  const clients = Array.from({ length: connections }, () => new pg.Client({ connectionString: url }));
  await Promise.all(clients.map((client) => client.connect()));
  const pauses: number[] = [];
  let working = true;
  const produce = async (client: pg.Client): Promise<void> => {
    while (working) {
      const startedAt = performance.now();
      await client.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
      pauses.push(performance.now() - startedAt);
    }
    await client.end();
  };
  const producing = Promise.all(clients.map(produce));
  await work().finally(() => {
    working = false;
  });
  await producing;
  return pauses.toSorted((a, b) => a - b);
};

const longest = (pauses: readonly number[]): number => pauses.at(-1) ?? Number.NaN;

/**
 * Prunes as workers do, without their minutes between; then again beside a transaction that stays open.
 * @throws when days stay, something else goes, or a producer waits too long
 */
export const run = async ({ serverUrl, smoke }: Stage) => {
  const size = smoke ? sizes.smoke : sizes.full;
  await using receiver = await startReceiver();
  await using database = await stageDatabase(serverUrl, "retention", receiver.url);
  const { pool, url } = database;
  await using _worker = await startWorkerProcess(url);
  await fill(pool, size);
  const countOf = async (sql: string): Promise<number> =>
    (await pool.query(`select count(*)::int as n ${sql}`)).rows[0]?.n;
  const pastDays = () =>
    countOf("from outbox.storage where kind = 'events' and day < (now() at time zone 'UTC')::date");

  const baseline = await whileProducing(url, () => pool.query("select pg_sleep($1)", [size.seconds]));

  const blocker = new pg.Client({ connectionString: url });
  await blocker.connect();
  await blocker.query("begin; insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  const daysBefore = await pastDays();
  const beside = await whileProducing(url, async () => {
    for (let n = 0; n < size.tries; n += 1) await pool.query("select * from outbox.prune()");
  });
  assert.equal(await pastDays(), daysBefore, "no day goes beside an open transaction");
  await blocker.query("commit");
  await blocker.end();

  const startedAt = performance.now();
  let calls = 0;
  const pruning = await whileProducing(url, async () => {
    while ((await pastDays()) > size.mixedDays && calls < 1_000) {
      await pool.query("select * from outbox.prune()");
      calls += 1;
    }
  });
  const droppedAt = performance.now();
  assert.equal(await pastDays(), size.mixedDays, "what is past its retention is dropped");
  const oldEvents = () => countOf("from outbox.events where id < outbox.uuid_at(now() - interval '1 day')");
  const eventsBefore = await oldEvents();
  const sweeping = await whileProducing(url, async () => {
    while ((await countOf("from outbox.pruned_days where swept_at is null")) > 0)
      await pool.query("select outbox.prune_rows()");
  });
  const sweptAt = performance.now();
  const kept = await oldEvents();
  assert.equal(kept, (size.mixedDays * size.eventsPerDay) / 100, "what others need is kept, and nothing else");

  const longestMs = Math.max(longest(beside), longest(pruning), longest(sweeping));
  assert.ok(longestMs < longest(baseline) + pauseMsMax, `a producer waited ${longestMs} ms`);
  return {
    daysDropped: daysBefore - size.mixedDays,
    eventsPerDay: size.eventsPerDay,
    pruneCalls: calls,
    dropSeconds: (droppedAt - startedAt) / 1_000,
    eventsDeletedPerSecond: (eventsBefore - kept) / ((sweptAt - droppedAt) / 1_000),
    longestPauseMsBaseline: longest(baseline),
    longestPauseMsDropping: longest(pruning),
    longestPauseMsDeletingRows: longest(sweeping),
    longestPauseMsBesideOpenTransaction: longest(beside),
  };
};
