import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, deliveriesOf, deliveryOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

const reconcile = async (db: TestDatabase): Promise<number> =>
  (await db.one<{ n: number }>("select outbox.reconcile() as n")).n;

const frontierOf = async (db: TestDatabase): Promise<string> =>
  (await db.one<{ frontier: string }>("select frontier from outbox.instance")).frontier;

const settledId = async (db: TestDatabase, minutesAgo = 5): Promise<string> =>
  (await db.one<{ id: string }>("select outbox.uuid_at(now() - make_interval(mins => $1)) as id", [minutesAgo])).id;

/** An event of some minutes ago, by its id: old enough to be settled. */
const addSettledEvent = async (db: TestDatabase, minutesAgo = 5) =>
  addEvent(db, { id: await settledId(db, minutesAgo) });

const untilOthersEnded = (db: TestDatabase) =>
  db.until("select 1 from outbox.instance where next_frontier_xid <= pg_snapshot_xmin(pg_current_snapshot())");

/** Chooses the next frontier, lets every transaction of the server end that was open then, and moves there. */
async function moveFrontier(db: TestDatabase): Promise<number> {
  const before = await frontierOf(db);
  assert.equal(await reconcile(db), 0);
  assert.equal(await frontierOf(db), before);
  await untilOthersEnded(db);
  return reconcile(db);
}

const forgetJobs = (db: TestDatabase) => db.query("delete from graphile_worker._private_jobs");

test("a delivery whose job was lost is given another", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const { id } = await addSettledEvent(db);
  await forgetJobs(db);
  assert.equal(await reconcile(db), 1);
  assert.deepEqual(
    (await jobsOf(db)).map(({ deliveries }) => deliveries),
    [{ [subscriptionId]: [id] }],
  );
  assert.equal(await reconcile(db), 0);
});

test("a delivery whose job still waits is left alone, however old", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addSettledEvent(db, 300);
  assert.equal(await reconcile(db), 0);
  assert.equal((await jobsOf(db)).length, 1);
});

test("a delivery that is being sent is left alone, one of a lost worker is not", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addSettledEvent(db);
  const worker = await startHandWorker(db);
  await worker.claim();
  await forgetJobs(db);
  assert.equal(await reconcile(db), 0);
  await worker.fallSilent();
  assert.equal(await reconcile(db), 1);
});

test("an event of this moment is not looked at: its transaction may be under way", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvent(db);
  await forgetJobs(db);
  assert.equal(await reconcile(db), 0);
});

test("an event that came in while triggers were off is fanned out", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("set session_replication_role = replica");
  await client.query("update outbox.subscriptions set updated_at = now() - interval '1 day'");
  const { id } = await addEvent(client, { id: await settledId(db) });
  assert.deepEqual(await deliveriesOf(db), []);
  assert.equal(await moveFrontier(db), 1);
  assert.equal((await deliveryOf(db, id)).status, "pending");
  assert.equal((await jobsOf(db)).length, 1);
  assert.equal(await reconcile(db), 0);
});

test("recovery does not hand old events to a subscription that came, or changed, after them", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("set session_replication_role = replica");
  const aMinuteAgo = new Date(Date.now() - 60_000);
  await addEvent(client, { id: await settledId(db), created_at: aMinuteAgo, occurred_at: aMinuteAgo });
  await addDestination(db);
  assert.equal(await moveFrontier(db), 0);
  assert.deepEqual(await deliveriesOf(db), []);
});

test("the frontier moves over what is settled", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addSettledEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
  await moveFrontier(db);
  const after = await frontierOf(db);
  assert.ok(after > id, `${after} is past ${id}`);
});

test("the frontier stops at the oldest delivery that waits for its first attempt", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addSettledEvent(db, 10);
  await addSettledEvent(db, 5);
  await moveFrontier(db);
  assert.equal(await frontierOf(db), id);
  const { n } = await db.one("select count(*)::int as n from outbox.pending_deliveries()");
  assert.equal(n, 2);
});

test("the frontier waits for every transaction that could still add to what lies behind it", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using open = await db.client();
  await open.query("begin");
  const { id } = await addEvent(open, { id: await settledId(db) });
  const before = await frontierOf(db);
  for (let run = 0; run < 3; run++) assert.equal(await reconcile(db), 0);
  assert.equal(await frontierOf(db), before);
  await open.query("commit");
  await untilOthersEnded(db);
  await reconcile(db);
  assert.equal(await frontierOf(db), id);
  assert.equal((await db.query("select from outbox.pending")).length, 1);
});

test("two reconcilers at once do not wait for each other", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using first = await db.client();
  await first.query("begin");
  await first.query("select outbox.reconcile()");
  assert.equal(await reconcile(db), 0);
  await first.query("commit");
});

test("at most max deliveries are mended in one run, in jobs of up to 100", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("set session_replication_role = replica");
  await addEvents(db, 250);
  await client.query(
    "update outbox.deliveries set event_id = outbox.uuid_at(now() - interval '1 hour' + seq * interval '1 ms')",
  );
  await forgetJobs(db);
  assert.deepEqual(await db.one("select outbox.reconcile(150) as n"), { n: 150 });
  assert.equal((await jobsOf(db)).length, 2);
  assert.deepEqual(await db.one("select outbox.reconcile(150) as n"), { n: 100 });
});

test("truncating the job table loses no delivery", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const ids = [await addSettledEvent(db, 6), await addSettledEvent(db, 5)].map(({ id }) => id);
  await db.query("truncate graphile_worker._private_jobs");
  assert.equal(await reconcile(db), 2);
  assert.deepEqual((await jobsOf(db)).flatMap(({ deliveries }) => Object.values(deliveries).flat()).toSorted(), ids);
});

test("one job of a statement that is deleted is missed once the others are done, and nothing is done twice", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("set session_replication_role = replica");
  await addEvents(db, 150);
  const [first, second] = await jobsOf(db);
  const old =
    "update outbox.deliveries set event_id = outbox.uuid_at(now() - interval '1 hour' + seq * interval '1 ms')";
  await db.query(
    "delete from graphile_worker._private_jobs where id = (select max(id) from graphile_worker._private_jobs)",
  );
  assert.deepEqual(
    [first, second].map((job) => Object.values(job?.deliveries ?? {}).flat().length),
    [100, 50],
  );
  await client.query(old);
  assert.equal(await reconcile(db), 0);
  await client.query("update outbox.deliveries set status = 'delivered', finished_at = now() where seq <= 100");
  await forgetJobs(db);
  assert.equal(await reconcile(db), 50);
  assert.equal(await reconcile(db), 0);
});

test("a retry whose job was deleted is given another a minute after it was due", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [30], jitter: 0 } });
  await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  await forgetJobs(db);
  const due = () => db.one("select outbox.schedule_due() as n");
  assert.deepEqual(await due(), { n: 0 });
  await db.query(
    "update outbox.deliveries set next_attempt_at = now() - interval '61 s', job_at = now() - interval '91 s'",
  );
  assert.deepEqual(await due(), { n: 1 });
  assert.equal((await jobsOf(db)).length, 1);
  assert.equal((await worker.claim()).length, 1);
});

test("events of a time when the trigger was disabled are fanned out once it is enabled, and only those", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query("alter table outbox.subscriptions disable trigger user");
  await db.query("update outbox.subscriptions set updated_at = now() - interval '1 day'");
  await addSettledEvent(db, 6);
  await db.query("alter table outbox.events disable trigger _500_fan_out");
  const { id } = await addSettledEvent(db, 5);
  await db.query("alter table outbox.events enable trigger _500_fan_out");
  await addSettledEvent(db, 4);
  assert.equal((await deliveriesOf(db)).length, 2);
  assert.equal(await moveFrontier(db), 1);
  assert.equal((await deliveryOf(db, id)).status, "pending");
  assert.equal((await deliveriesOf(db)).length, 3);
  assert.equal((await jobsOf(db)).length, 3);
});
