/** How a worker goes through a lane: one after another, a few claimed ahead, and none of them lost or used up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { addDestination, deliveriesOf, jobsOf } from "./support/factory.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

const addLane = (db: TestDatabase, length: number) =>
  db.query(
    `insert into outbox.events (topic, key, payload)
     select 'order.changed', 'a', json_build_object('n', n) from generate_series(1, $1) as n`,
    [length],
  );

const numberOf = ({ rawBody }: ReceivedRequest): number => JSON.parse(rawBody.toString()).n;
const numbersAt = (receiver: Receiver): number[] => receiver.requests.map(numberOf);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);
const untilAll = (db: TestDatabase, status: string) =>
  db.until<{ others: number }>(
    "select count(*)::integer as others from outbox.deliveries where status::text <> $1",
    [status],
    ({ others }) => others === 0,
  );

/** An ordered destination at the receiver, whose retries come at once. */
const addOrdered = (db: TestDatabase, receiver: Receiver) =>
  addDestination(db, {
    config: { url: receiver.url },
    policy: { schedule_seconds: Array(20).fill(0), jitter: 0 },
    ordered: true,
  });

test("a lane goes out in order, one at a time, with far fewer jobs than deliveries", async () => {
  await using db = await testDatabase();
  let open = 0;
  let openMax = 0;
  await using receiver = await startReceiver({
    respond: (_, response) => {
      open += 1;
      openMax = Math.max(openMax, open);
      response.once("close", () => {
        open -= 1;
      });
    },
  });
  await addOrdered(db, receiver);
  await addLane(db, 150);
  assert.equal((await jobsOf(db)).length, 1);
  await using _worker = await startTestWorker(db);
  await receiver.waitFor(150);
  await untilAll(db, "delivered");
  assert.deepEqual(numbersAt(receiver), upTo(150));
  assert.equal(openMax, 1);
  const { jobs } = await db.one(
    "select pg_sequence_last_value(pg_get_serial_sequence('graphile_worker._private_jobs', 'id')::regclass)::integer as jobs",
  );
  assert.ok(jobs < 75, `${jobs} jobs`);
});

test("when one of a lane fails, those claimed behind it wait and have used no attempt", async () => {
  await using db = await testDatabase();
  let failures = 0;
  await using receiver = await startReceiver({
    respond: (request) => (numberOf(request) === 20 && failures++ < 2 ? 503 : 200),
  });
  await addOrdered(db, receiver);
  await addLane(db, 40);
  await using _worker = await startTestWorker(db);
  await untilAll(db, "delivered");
  assert.deepEqual(numbersAt(receiver), [...upTo(19), 20, 20, ...upTo(40).slice(19)]);
  const attempts = (await deliveriesOf(db)).map(({ attempt_count }) => attempt_count);
  assert.deepEqual(
    attempts,
    upTo(40).map((n) => (n === 20 ? 3 : 1)),
  );
});

test("a lane that waits behind its dead head lets the other lanes go on", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver({ respond: ({ rawBody }) => (rawBody.includes("poison") ? 422 : 200) });
  await addDestination(db, { config: { url: receiver.url }, policy: { dead_statuses: [422] }, ordered: true });
  await db.query(
    `insert into outbox.events (topic, key, payload)
     values ('a', 'a', '"poison"'), ('a', 'a', '1'), ('a', 'b', '2'), ('a', 'b', '3')`,
  );
  await using _worker = await startTestWorker(db);
  await db.until("select 1 from outbox.deliveries having count(*) filter (where status = 'delivered') = 2");
  await db.until("select 1 from outbox.lanes where head_status = 'dead' and length = 2");
  assert.equal(receiver.count, 3);
});

test("a destination that is disabled while a lane runs gets no more of it", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  const { id } = await addOrdered(db, receiver);
  await addLane(db, 600);
  await using _worker = await startTestWorker(db);
  await receiver.waitFor(20);
  await db.query("select outbox.disable_destination($1)", [id]);
  await db.until<{ pending: number }>(
    "select count(*)::integer as pending from outbox.deliveries where status = 'pending'",
    [],
    ({ pending }) => pending === 0,
  );
  const { count } = receiver;
  assert.ok(count < 600, `${count} came`);
  assert.deepEqual(numbersAt(receiver), upTo(count));
  const states = await db.query(
    "select status::text, held_reason, count(*)::integer as n from outbox.deliveries group by 1, 2 order by 3",
  );
  assert.equal(states.find(({ held_reason }) => held_reason === "destination_disabled")?.n, 1);
  await db.query("select outbox.enable_destination($1)", [id]);
  await untilAll(db, "delivered");
  assert.deepEqual(numbersAt(receiver), upTo(600));
});

test("a worker that stops gives back what it has claimed of a lane", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await addOrdered(db, receiver);
  await addLane(db, 600);
  {
    await using _worker = await startTestWorker(db);
    await receiver.waitFor(20);
  }
  const { count } = receiver;
  assert.ok(count < 600, `${count} came`);
  const left = await db.query(
    "select 1 from outbox.deliveries where claimed_by is not null or (status <> 'delivered') <> (attempt_count = 0)",
  );
  assert.deepEqual(left, []);
  assert.deepEqual(await db.query("select 1 from outbox.attempts where outcome <> 'delivered'"), []);
  await using _heir = await startTestWorker(db);
  await untilAll(db, "delivered");
  assert.deepEqual(numbersAt(receiver), upTo(600));
});
