/** What a round trip reads: its own rows, however many others there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { delivered, startHandWorker } from "../support/hand_worker.ts";

/** Rows that this database has read so far from a table and its partitions, by index or not. */
const rowsRead = async (db: TestDatabase, table: string): Promise<number> => {
  await db.query("select pg_stat_force_next_flush()");
  const { n } = await db.one<{ n: number }>(
    `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as n
     from pg_stat_user_tables where schemaname = 'outbox' and relname like $1 || '%'`,
    [table],
  );
  return n;
};

/** One after another, so that all is read by the connection that has just reported what it read itself. */
const allRowsRead = async (db: TestDatabase, tables: readonly string[]): Promise<number[]> => {
  const read: number[] = [];
  for (const table of tables) read.push(await rowsRead(db, table));
  return read;
};

test("recording a success reads nothing of other destinations", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query(
    `insert into outbox.destinations (type, name, config)
     select 'webhook', 'other ' || n, '{"url": "https://example.com/"}' from generate_series(1, 2000) as n`,
  );
  await db.query(
    `insert into outbox.destination_health (destination_id, last_success_at)
     select t.id, now() from outbox.destinations as t where t.id <> $1`,
    [id],
  );
  const worker = await startHandWorker(db);
  await addEvent(db);
  const tables = ["destination_health", "destinations", "subscriptions"];
  const before = await allRowsRead(db, tables);
  await worker.attempt(delivered);
  const after = await allRowsRead(db, tables);
  for (const [n, table] of tables.entries()) {
    const read = (after[n] ?? 0) - (before[n] ?? 0);
    assert.ok(read < 20, `${table}: ${read} rows`);
  }
});

test("deliveries of one subscription are claimed and recorded without those that their events have beside", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  for (let n = 0; n < 40; n++) await addDestination(db, { name: `other ${n}` });
  const worker = await startHandWorker(db);
  await db.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, 50)");
  const wanted = await db.query<{ event_id: string; subscription_id: string }>(
    "select event_id, subscription_id from outbox.deliveries where subscription_id = $1",
    [subscriptionId],
  );
  const before = await rowsRead(db, "deliveries");
  const claimed = await worker.claim(wanted);
  assert.equal(claimed.length, 50);
  await worker.record(claimed, delivered);
  const read = (await rowsRead(db, "deliveries")) - before;
  assert.ok(read < 50 * 2 + 20, `${read} rows`);
});
