/**
 * A destination fails and heals among thousands that are well: exactly the expected alerts arrive, each once, at a webhook that
 * subscribed to them and itself fails at first, while two workers look; and looking costs next to nothing.
 */
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import type pg from "pg";
import { median } from "../bench/support.ts";
import type { AlertPayload } from "../support/alerts.ts";
import { startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const looks = 5;
const outageSize = 200;
const deadlineMs = 30_000;

/** Waits until a query's only value is true, and looks for alerts meanwhile if told so. */
const until = async (
  pool: pg.Pool,
  sql: string,
  values: unknown[] = [],
  between?: () => Promise<unknown>,
): Promise<void> => {
  const deadline = Date.now() + deadlineMs;
  while (!Object.values((await pool.query(sql, values)).rows[0] ?? {})[0]) {
    if (Date.now() > deadline) throw new Error(`never true: ${sql} ${JSON.stringify(values)}`);
    await between?.();
    await wait(20);
  }
};

/** Looks as the duty of a worker does, and at all that is looked at less often. @returns milliseconds */
const look = async (pool: pg.Pool, slowEvery = "0"): Promise<number> => {
  const startedAt = performance.now();
  await pool.query("select outbox.evaluate_alerts(slow_every => $1)", [slowEvery]);
  return performance.now() - startedAt;
};

const addWell = (pool: pg.Pool, count: number) =>
  pool.query(
    `with made as (
       insert into outbox.destinations (type, tenant_id, name, config, checked_version)
       select 'webhook', 'tenant_' || n / 10, 'well ' || n, '{"url": "https://example.com/"}', 1 from generate_series(1, $1) as n
       returning id, tenant_id
     ), subscribed as (
       insert into outbox.subscriptions (destination_id, tenant_id, topics) select id, tenant_id, '{nothing}' from made
     )
     insert into outbox.destination_health (destination_id, last_success_at, last_failure_at)
     select id, now(), now() - interval '2 days' from made`,
    [count],
  );

/** What looking costs: with nothing to tell, and when many destinations fail at once. */
const measureLooking = async (pool: pg.Pool, destinations: number) => {
  await addWell(pool, destinations);
  await pool.query("analyze");
  const times = async (slowEvery: string): Promise<number> => {
    const all: number[] = [];
    for (let n = 0; n < looks; n++) all.push(await look(pool, slowEvery));
    return median(all);
  };
  const idleMs = await times("1 hour");
  const thoroughMs = await times("0");
  await pool.query(
    `update outbox.destination_health as h set consecutive_failures = 100, first_failure_at = now(), last_failure_at = now()
     where h.destination_id in (select q.destination_id from outbox.destination_health as q limit $1)`,
    [outageSize],
  );
  const outageMs = await look(pool, "1 hour");
  const { rows } = await pool.query("select count(*)::int as told from outbox.alerts where event_id is not null");
  assert.equal(rows[0].told, outageSize);
  await pool.query(
    "update outbox.destination_health set consecutive_failures = 0, first_failure_at = null where consecutive_failures > 0",
  );
  await look(pool, "1 hour");
  await until(pool, "select not exists (select from outbox.open_alerts)");
  return { idleMs, thoroughMs, outageMsPerAlert: outageMs / outageSize };
};

export const run = async ({ serverUrl, smoke }: Stage) => {
  const destinations = smoke ? 1_000 : 100_000;
  await using database = await stageDatabase(serverUrl, "alerts");
  const { pool } = database;
  const cost = await measureLooking(pool, destinations);

  let isWell = false;
  await using erp = await startReceiver({ respond: () => (isWell ? 200 : 503) });
  let channelIsWell = false;
  await using channel = await startReceiver({ respond: () => (channelIsWell ? 200 : 500) });
  const create = async (name: string, url: string, topics: string, policy: object): Promise<string> => {
    const { rows } = await pool.query(
      `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), name => $2, topics => $3, policy => $4) as id`,
      [url, name, topics, JSON.stringify(policy)],
    );
    return rows[0].id;
  };
  const erpId = await create("ERP", erp.url, "{order.*}", {
    schedule_seconds: [],
    alerts: { failures: 10, minimum: 10 },
  });
  const quick = { schedule_seconds: Array.from({ length: 50 }, () => 0.5), jitter: 0, alerts: { failures: 1 } };
  const channelId = await create("alerts", channel.url, "{postrider.alert.*}", quick);
  await using _first = await startTestWorker(database);
  await using _second = await startTestWorker(database);

  const insert = (events: number) =>
    pool.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, $1)", [
      events,
    ]);
  const lookUntil = (sql: string, values: unknown[] = []) => until(pool, sql, values, () => look(pool));
  const levelSql = "select exists (select from outbox.alerts where destination_id = $1 and level = $2)";
  const failuresSql =
    "select coalesce((select consecutive_failures = $2 from outbox.destination_health where destination_id = $1), false)";
  const startedAt = performance.now();
  for (const [failures, level] of [
    [5, 50],
    [7, 70],
    [9, 90],
    [10, 100],
  ] as const) {
    await insert(failures - erp.count);
    await until(pool, failuresSql, [erpId, failures]);
    await lookUntil(levelSql, [erpId, level]);
    await lookUntil("select exists (select from outbox.alerts where destination_id = $1)", [channelId]);
    channelIsWell = true;
  }
  await lookUntil("select count(*) = 7 from outbox.alerts where destination_id = $1", [erpId]);

  isWell = true;
  await insert(20);
  await until(pool, failuresSql, [erpId, 0]);
  await pool.query("select outbox.redrive(destination_id => $1)", [erpId]);
  await erp.waitFor(40);
  await until(pool, "select not exists (select from outbox.dead_letters where destination_id = $1)", [erpId]);
  await lookUntil("select count(*) = 1 from outbox.open_alerts where destination_id = $1", [erpId]);
  await until(
    pool,
    "select not exists (select from outbox.deliveries where destination_id = $1 and status <> 'delivered')",
    [channelId],
  );
  const seconds = (performance.now() - startedAt) / 1000;

  const arrived = new Map(
    channel.requests.map(({ headers, rawBody }) => [
      headers["webhook-id"],
      JSON.parse(rawBody.toString()) as AlertPayload,
    ]),
  );
  const told = [...arrived.values()].map(({ kind, state, severity }) => `${kind} ${state} ${severity}`);
  assert.deepEqual(
    told.toSorted((a, b) => (a < b ? -1 : 1)),
    [
      "consecutive_failures firing critical",
      "consecutive_failures firing info",
      "consecutive_failures firing warning",
      "consecutive_failures firing warning",
      "consecutive_failures resolved critical",
      "dead_letter firing warning",
      "dead_letter resolved warning",
      "failure_rate firing warning",
      "failure_rate resolved warning",
      "retries_exhausted firing warning",
    ],
  );
  assert.ok([...arrived.values()].every(({ destination_id }) => destination_id === erpId));
  const { rows } = await pool.query("select event_id from outbox.alerts where destination_id = $1", [channelId]);
  assert.ok(rows.length > 0 && rows.every(({ event_id }) => event_id === null));
  return { destinations, ...cost, alerts: told.length, rowsAboutTheChannel: rows.length, seconds };
};
