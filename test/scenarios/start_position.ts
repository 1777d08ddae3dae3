/**
 * Subscriptions start from the beginning while producers keep transactions open around them: each gets exactly what was
 * committed, once.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { startWorkerProcess } from "../bench/support.ts";
import { startReceiver } from "../support/receiver.ts";
import type { Stage } from "./run.ts";
import { stageDatabase, until } from "./support.ts";

const levels = ["read committed", "repeatable read"];

/** Transactions one after another, open for up to so long, with events at their start and end; some are rolled back. */
const produce = async (url: string, holdMsMax: number, signal: AbortSignal): Promise<readonly string[]> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const committed: string[] = [];
  for (let n = 0; !signal.aborted; n += 1) {
    const ids: string[] = [];
    const insert = async () => {
      const { rows } = await client.query("insert into outbox.events (topic, payload) values ('a', '1') returning id");
      ids.push(rows[0].id);
    };
    await client.query(`begin isolation level ${levels[n % levels.length]}`);
    await client.query(`set local outbox.fan_out = '${n % 5 === 4 ? "deferred" : "immediate"}'`);
    await client.query("select count(*) from outbox.subscriptions");
    if (Math.random() < 0.5) await insert();
    await pause(Math.random() * holdMsMax);
    await insert();
    const end = Math.random() < 0.1 ? "rollback" : "commit";
    await client.query(end);
    if (end === "commit") committed.push(...ids);
  }
  await client.end();
  return committed;
};

export const run = async ({ serverUrl, smoke }: Stage) => {
  const subscriptions = smoke ? 3 : 20;
  const producers = smoke ? 4 : 12;
  const holdMs = smoke ? 300 : 3_000;
  const betweenMs = smoke ? 300 : 1_000;
  await using receiver = await startReceiver();
  await using database = await stageDatabase(serverUrl, "start_position");
  const { pool } = database;
  await using _worker = await startWorkerProcess(database.url);
  const stopping = new AbortController();
  const producing = Promise.all(
    Array.from({ length: producers }, () => produce(database.url, holdMs, stopping.signal)),
  );
  for (let n = 0; n < subscriptions; n += 1) {
    await pause(betweenMs);
    await pool.query(
      "select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), start => 'beginning')",
      [`${receiver.url}/${n}`],
    );
  }
  await pause(betweenMs);
  stopping.abort();
  const committed = (await producing).flat();
  const expected = committed.length * subscriptions;
  await until("every history is handed over", async () => {
    const { rows } = await pool.query("select count(*)::int as n from outbox.replays where status <> 'done'");
    return rows[0].n === 0;
  });
  await until("everything arrived", async () => {
    const { rows } = await pool.query(
      "select count(*) filter (where status = 'delivered')::int as n, count(*)::int as all from outbox.deliveries",
    );
    return rows[0].n === rows[0].all && receiver.count >= expected;
  });

  const arrivals = Map.groupBy(receiver.requests, ({ path }) => path);
  const wanted = new Set(committed);
  for (let n = 0; n < subscriptions; n += 1) {
    const ids = (arrivals.get(`/${n}`) ?? []).map(({ headers }) => String(headers["webhook-id"]));
    assert.equal(ids.length, wanted.size, `subscription ${n} got ${ids.length} events of ${wanted.size}`);
    assert.deepEqual(new Set(ids), wanted);
  }
  const { rows } = await pool.query(
    `select sum(made)::int as made, max(extract(epoch from finished_at - created_at))::float8 as seconds from outbox.replays`,
  );
  return {
    events: committed.length,
    subscriptions,
    deliveries: expected,
    of_history: rows[0].made,
    longest_transaction_ms: holdMs,
    longest_hand_over_s: rows[0].seconds,
  };
};
