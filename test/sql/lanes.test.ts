/** Lanes: the deliveries of one key of an ordered subscription go one after another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

/** Events of one key, one statement each; their ids. */
const addLane = async (db: TestDatabase, length: number, key = "a"): Promise<string[]> => {
  const ids: string[] = [];
  for (let n = 0; n < length; n++) ids.push((await addEvent(db, { key })).id);
  return ids;
};

const statesOf = async (db: TestDatabase): Promise<string[]> =>
  (await deliveriesOf(db)).map((row) => [row.status, row.held_reason].filter((word) => word !== null).join(": "));

const takeJobs = (db: TestDatabase) => db.query("delete from graphile_worker._private_jobs");
const wokenIn = async (db: TestDatabase): Promise<string[]> =>
  (await jobsOf(db)).flatMap(({ deliveries }) => Object.values(deliveries).flat());

const idsOf = (rows: readonly { event_id: string }[]): string[] => rows.map((row) => row.event_id);

test("of the events of one statement only the first of each key gets a job; those without a key all do", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await db.query(
    `insert into outbox.events (topic, key, payload)
     select 'a', k, '{}' from unnest('{a,b,a,a,b,null,null}'::text[]) as k`,
  );
  assert.deepEqual(await statesOf(db), [
    "pending",
    "pending",
    "held: lane",
    "held: lane",
    "held: lane",
    "pending",
    "pending",
  ]);
  const rows = await deliveriesOf(db);
  assert.deepEqual(
    await wokenIn(db),
    [0, 1, 5, 6].map((n) => rows[n]?.event_id),
  );
});

test("a subscription that is not ordered has no lanes", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addLane(db, 2);
  const worker = await startHandWorker(db);
  assert.equal((await worker.claim()).length, 2);
  assert.deepEqual(await db.query("select from outbox.lanes"), []);
});

test("what is behind is not claimed but held, and comes to the front when the one before was delivered", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const [first, second, third] = await addLane(db, 3);
  const worker = await startHandWorker(db);
  const claimed = await worker.claim();
  assert.deepEqual(idsOf(claimed), [first]);
  assert.deepEqual(await statesOf(db), ["pending", "held: lane", "held: lane"]);
  await takeJobs(db);
  await worker.record(claimed, delivered);
  assert.deepEqual(await wokenIn(db), [second]);
  assert.deepEqual(await statesOf(db), ["delivered", "pending", "held: lane"]);
  await worker.attempt(delivered);
  assert.deepEqual(idsOf(await worker.claim()), [third]);
});

test("keys do not wait for each other, nor subscriptions", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addDestination(db, { ordered: true });
  await addLane(db, 2, "a");
  await addLane(db, 2, "b");
  const worker = await startHandWorker(db);
  assert.equal((await worker.claim()).length, 4);
});

test("while the head is retried the others wait, and the view says for what", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db, { ordered: true });
  const [first] = await addLane(db, 3);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  await takeJobs(db);
  assert.deepEqual(await worker.claim(await deliveriesOf(db)), []);
  assert.deepEqual(await statesOf(db), ["pending", "held: lane", "held: lane"]);
  assert.deepEqual(await wokenIn(db), []);
  const lane = await db.one("select * from outbox.lanes");
  assert.equal(lane.head_event_id, first);
  assert.deepEqual(
    [lane.subscription_id, lane.key, lane.length, lane.head_status, lane.head_error_code, lane.head_attempts],
    [subscriptionId, "a", "3", "pending", "http_status", 1],
  );
  assert.ok(lane.head_next_attempt_at > new Date());
});

for (const onDead of ["block", "skip", "park"] as const) {
  test(`when the head dies, ${onDead} decides`, async () => {
    await using db = await testDatabase();
    await addDestination(db, { ordered: true, onDead, policy: { schedule_seconds: [] } });
    const [, second] = await addLane(db, 3);
    const worker = await startHandWorker(db);
    const claimed = await worker.claim();
    await takeJobs(db);
    await worker.record(claimed, failedWith());
    const expected = {
      block: { states: ["dead", "held: lane", "held: lane"], woken: [], held: "2" },
      skip: { states: ["dead", "pending", "held: lane"], woken: [second], held: "1" },
      park: { states: ["dead", "held: parked", "held: parked"], woken: [], held: "0" },
    }[onDead];
    assert.deepEqual(await statesOf(db), expected.states);
    assert.deepEqual(await wokenIn(db), expected.woken);
    assert.deepEqual(await db.one("select held from outbox.lag"), { held: expected.held });
    assert.deepEqual(await db.one("select held from outbox.destination_status"), { held: expected.held });
    // What comes later joins them.
    await addEvent(db, { key: "a" });
    const last = (await deliveriesOf(db)).slice(-1);
    assert.deepEqual(await worker.claim(last), []);
    assert.equal((await statesOf(db)).at(-1), onDead === "park" ? "held: parked" : "held: lane");
  });
}

test("redriving the dead head of a lane resumes the rest in order, parked or blocked", async () => {
  for (const onDead of ["block", "park"] as const) {
    await using db = await testDatabase();
    await addDestination(db, { ordered: true, onDead, policy: { schedule_seconds: [] } });
    const ids = await addLane(db, 3);
    const worker = await startHandWorker(db);
    await worker.attempt(failedWith());
    await db.query("select * from outbox.redrive(event_id => $1)", [ids[0]]);
    assert.deepEqual(await statesOf(db), ["pending", "held: lane", "held: lane"]);
    for (const id of ids) {
      const claimed = await worker.claim();
      assert.deepEqual(idsOf(claimed), [id]);
      await worker.record(claimed, delivered);
    }
    assert.deepEqual(await statesOf(db), Array(3).fill("delivered"));
  }
});

test("redriving a whole lane does not bring it out of order", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { ordered: true, policy: { schedule_seconds: [] } });
  const [first] = await addLane(db, 3);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  await db.query("select * from outbox.redrive(destination_id => $1)", [id]);
  assert.deepEqual(idsOf(await worker.claim()), [first]);
  assert.deepEqual(await statesOf(db), ["pending", "held: lane", "held: lane"]);
});

test("cancelling the head lets the lane go on, also a dead one", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true, policy: { schedule_seconds: [] } });
  const [first, second, third] = await addLane(db, 3);
  const worker = await startHandWorker(db);
  await db.query("select outbox.cancel($1)", [first]);
  const claimed = await worker.claim();
  assert.deepEqual(idsOf(claimed), [second]);
  await worker.record(claimed, failedWith());
  await takeJobs(db);
  assert.deepEqual(await db.one("select outbox.cancel($1) as n", [second]), { n: 1 });
  assert.deepEqual(await statesOf(db), ["cancelled", "cancelled", "pending"]);
  assert.deepEqual(await wokenIn(db), [third]);
});

test("cancelling one in the middle changes nothing for the head", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const [, second] = await addLane(db, 3);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  await takeJobs(db);
  await db.query("select outbox.cancel($1)", [second]);
  assert.deepEqual(await statesOf(db), ["pending", "cancelled", "held: lane"]);
  assert.deepEqual(await wokenIn(db), []);
});

test("disabling the destination holds the head, the others stay in their lane, and enabling goes on in order", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { ordered: true });
  const [first, second] = await addLane(db, 2);
  const worker = await startHandWorker(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await worker.claim((await deliveriesOf(db)).slice(0, 1));
  await db.query("select outbox.enable_destination($1)", [id]);
  await worker.claim((await deliveriesOf(db)).slice(1));
  assert.deepEqual(await statesOf(db), ["held: destination_disabled", "held: lane"]);
  assert.deepEqual(await db.one("select outbox.release_held() as n"), { n: 1 });
  const claimed = await worker.claim();
  assert.deepEqual(idsOf(claimed), [first]);
  await worker.record(claimed, delivered);
  assert.deepEqual(idsOf(await worker.claim()), [second]);
});

test("deleting the destination ends its lanes", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { ordered: true });
  await addLane(db, 3);
  const worker = await startHandWorker(db);
  await worker.claim();
  assert.deepEqual(await db.one("select outbox.delete_destination($1) as n", [id]), { n: 3 });
  assert.deepEqual(await db.query("select from outbox.deliveries where lane_seq is not null"), []);
});

test("what was delivered is redriven outside of its lane", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const [first] = await addLane(db, 1);
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
  const [second] = await addLane(db, 1);
  await db.query("select * from outbox.redrive(event_id => $1, statuses => '{delivered}')", [first]);
  assert.deepEqual(idsOf(await worker.claim()), [first, second]);
});

test("a wish that nobody knows for the dead is refused", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const refusal = await refusalOf(
    db.query("select outbox.create_subscription($1, ordered => true, on_dead => 'wait')", [id]),
  );
  assert.equal(refusal.code, "PR001");
  assert.match(refusal.message, /^on_dead: must be block, skip or park/);
  assert.ok(refusal.hint);
});
