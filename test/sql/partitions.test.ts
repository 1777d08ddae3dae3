import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addOldEvent, deliveryOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

const parents = ["outbox.attempts", "outbox.deliveries", "outbox.events"];

/** The days (UTC, from today) that have a partition of each parent. */
async function daysOf(db: TestDatabase): Promise<number[]> {
  const rows = await db.query<{ day: number; parents: string[] }>(`
    select to_date(right(c.relname, 8), 'YYYYMMDD') - (now() at time zone 'UTC')::date as day,
      array_agg(i.inhparent::regclass::text order by 1) as parents
    from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r' and c.relname ~ '[0-9]{8}$'
    group by 1 order by 1`);
  for (const row of rows) assert.deepEqual(new Set(row.parents), new Set(parents));
  return rows.map(({ day }) => day);
}

const makeDay = (db: TestDatabase, daysAgo: number) =>
  db.query(
    `select outbox.create_partition(parent, (now() at time zone 'UTC')::date - $1::int)
     from unnest('{events,deliveries,attempts}'::text[]) as parent`,
    [daysAgo],
  );

const prune = (db: TestDatabase, retention = "30 days") =>
  db.query<{ partition: string; dropped: boolean; reason: string | null }>(
    `select dropped, reason from outbox.prune(interval '${retention}') order by partition`,
  );

const placeOf = async (db: TestDatabase, id: string): Promise<string> =>
  (await db.one<{ place: string }>("select tableoid::regclass::text as place from outbox.events where id = $1", [id]))
    .place;

test("there is a partition for today and a week ahead, and making them again changes nothing", async () => {
  await using db = await testDatabase();
  const expected = [0, 1, 2, 3, 4, 5, 6, 7];
  assert.deepEqual(await daysOf(db), expected);
  await db.query("select outbox.maintain_partitions()");
  assert.deepEqual(await daysOf(db), expected);
  await db.query("select outbox.maintain_partitions(9)");
  assert.deepEqual(await daysOf(db), [...expected, 8, 9]);
});

test("an event lies in the partition of its day", async () => {
  await using db = await testDatabase();
  const { id } = await addEvent(db);
  const { today } = await db.one("select to_char(now() at time zone 'UTC', 'YYYYMMDD') as today");
  assert.equal(await placeOf(db, id), `outbox.events_${today}`);
});

test("what has no partition is caught by the default one, and moved when its day is made", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addOldEvent(db, 40);
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
  const readSql = `select
    (select payload::text || seq from outbox.events where id = $1) as event,
    (select status::text || finished_at from outbox.deliveries where event_id = $1) as delivery,
    (select outcome::text || started_at from outbox.attempts where event_id = $1) as attempt`;
  const before = await db.one(readSql, [id]);
  assert.equal(await placeOf(db, id), "outbox.events_default");
  await makeDay(db, 40);
  assert.match(await placeOf(db, id), /^outbox\.events_[0-9]{8}$/);
  assert.deepEqual(await db.one(readSql, [id]), before);
  const left = await db.one(`select (select count(*)::int from outbox.events_default) as events,
    (select count(*)::int from outbox.deliveries_default) as deliveries, (select count(*)::int from outbox.attempts_default) as attempts`);
  assert.deepEqual(left, { events: 0, deliveries: 0, attempts: 0 });
});

test("days that were missed are made when partitions are maintained, so that they can be dropped", async () => {
  await using db = await testDatabase();
  const { id } = await addOldEvent(db, 40);
  await db.query("select outbox.maintain_partitions()");
  assert.match(await placeOf(db, id), /^outbox\.events_[0-9]{8}$/);
  assert.equal((await daysOf(db))[0], -40);
  assert.deepEqual(await prune(db), [{ dropped: true, reason: null }]);
});

test("producers go on when no partition is left", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const tables = await db.query(`select format('outbox.%I', c.relname) as name from pg_class as c
    where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r' and c.relname ~ '_[0-9]{8}$'`);
  await db.query(`drop table ${tables.map(({ name }) => name).join(", ")}`);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [id],
  );
  await db.query("select outbox.maintain_partitions()");
  assert.match(await placeOf(db, id), /^outbox\.events_[0-9]{8}$/);
  assert.equal((await deliveryOf(db, id)).attempt_count, 1);
});

test("a partition has the keys, the indexes and the rules of its table", async () => {
  await using db = await testDatabase();
  await makeDay(db, 40);
  const different = await db.query(`
    select p.relname from pg_inherits as i join pg_class as p on p.oid = i.inhparent
    where p.relnamespace = 'outbox'::regnamespace and p.relkind = 'p'
    and (
      (select count(*) from pg_index as x where x.indrelid = i.inhrelid) <> (select count(*) from pg_index as x where x.indrelid = i.inhparent)
      or (select count(*) from pg_constraint as c where c.conrelid = i.inhrelid and c.contype <> 'n')
        <> (select count(*) from pg_constraint as c where c.conrelid = i.inhparent and c.contype <> 'n')
    )`);
  assert.deepEqual(different, []);
});

test("days past the retention are dropped when all in them is finished", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  for (const days of [29, 40, 41]) await makeDay(db, days);
  for (const days of [29, 40]) await addOldEvent(db, days);
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
  assert.deepEqual(await prune(db), [
    { dropped: true, reason: null },
    { dropped: true, reason: null },
  ]);
  assert.deepEqual((await daysOf(db)).slice(0, 2), [-29, 0]);
  const left = await db.one(
    "select (select count(*)::int from outbox.events) as events, (select count(*)::int from outbox.attempts) as attempts",
  );
  assert.deepEqual(left, { events: 1, attempts: 1 });
});

test("a day that holds a pending or held delivery is never dropped", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { name: "orders" });
  for (const days of [40, 50]) await makeDay(db, days);
  await addOldEvent(db, 50);
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  await addOldEvent(db, 40);
  const reason = "1 deliveries are pending or held: 1 for orders";
  assert.deepEqual(await prune(db, "1 day"), Array(2).fill({ dropped: false, reason }));
  assert.deepEqual((await daysOf(db)).slice(0, 2), [-50, -40]);

  await db.query("select outbox.delete_destination($1)", [destinationId]);
  assert.deepEqual(await prune(db), Array(2).fill({ dropped: true, reason: null }));
});

test("dead letters are past keeping when their day is", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [] } });
  await makeDay(db, 40);
  await addOldEvent(db, 40);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  assert.deepEqual(await prune(db), [{ dropped: true, reason: null }]);
});

test("a day that somebody reads is not waited for, and dropped at the next run", async () => {
  await using db = await testDatabase();
  await makeDay(db, 40);
  await using reader = await db.client();
  await reader.query("begin");
  await reader.query("select from outbox.events");
  assert.deepEqual(await prune(db), [{ dropped: false, reason: "in use, tried again at the next run" }]);
  await reader.query("commit");
  assert.deepEqual(await prune(db), [{ dropped: true, reason: null }]);
});

test("a retention under a day is refused", async () => {
  await using db = await testDatabase();
  const { code, message } = await refusalOf(prune(db, "23 hours"));
  assert.equal(code, "PR001");
  assert.match(message, /^retention: must be at least 1 day/);
});
