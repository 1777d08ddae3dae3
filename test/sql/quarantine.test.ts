/** Deliveries over which workers were lost: who is suspected, who is found guilty, and who goes free. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, addEventsApart, deliveriesOf, deliveryOf } from "../support/factory.ts";
import { type ClaimedRow, delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

/** What lets suspects that wait for their turn come now. */
const hurry = (db: TestDatabase) =>
  db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");

/** Some worker claims all that it is given, and is never heard of again. Returns what it claimed. */
const loseWorker = async (db: TestDatabase): Promise<readonly ClaimedRow[]> => {
  const victim = await startHandWorker(db);
  const claimed = await victim.claim();
  await victim.fallSilent();
  return claimed;
};

const attemptsOf = (db: TestDatabase, eventId: string) =>
  db.query("select number, late, outcome::text, code from outbox.attempts where event_id = $1 order by 1, 2", [
    eventId,
  ]);

test("a delivery that was in flight at three deaths of workers in a row is dead as poison, and says so", async () => {
  await using db = await testDatabase();
  const { id: destinationId, subscriptionId } = await addDestination(db);
  const { id } = await addEvent(db);
  for (let deaths = 0; deaths < 3; deaths++) assert.equal((await loseWorker(db)).length, 1);
  const next = await startHandWorker(db);
  assert.deepEqual(await next.claim(), []);
  const { status, error_code, claimed_by, next_attempt_at } = await deliveryOf(db, id);
  assert.deepEqual([status, error_code, claimed_by, next_attempt_at], ["dead", "poison", null, null]);
  assert.deepEqual(await attemptsOf(db, id), [
    { number: 1, late: false, outcome: "unknown", code: "worker_lost" },
    { number: 2, late: false, outcome: "unknown", code: "worker_lost" },
    { number: 3, late: false, outcome: "dead", code: "poison" },
  ]);
  const { error } = await db.one("select error from outbox.attempts where code = 'poison'");
  assert.match(error, /worker was lost over it, the 3\. in a row/);
  assert.deepEqual(
    await db.query("select actor, tenant_id, destination_id, detail from outbox.audit_log where action = 'quarantine'"),
    [
      {
        actor: "postrider",
        tenant_id: "default",
        destination_id: destinationId,
        detail: { event_id: id, subscription_id: subscriptionId, workers_lost: 3 },
      },
    ],
  );
  assert.deepEqual(await db.query("select from outbox.destination_health where consecutive_failures > 0"), []);
});

test("after two deaths what was in flight is tried one at a time by each worker, and others beside it as ever", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const suspects = (await addEventsApart(db, 5)).map(({ id }) => id);
  for (let deaths = 0; deaths < 2; deaths++) assert.equal((await loseWorker(db)).length, 5);
  const innocents = (await addEventsApart(db, 3)).map(({ id }) => id);
  const [first, second] = [await startHandWorker(db), await startHandWorker(db)];
  const claimed = await first.claim();
  assert.deepEqual(
    claimed.map(({ event_id }) => event_id),
    [suspects[0], ...innocents],
  );
  await hurry(db);
  assert.deepEqual(await first.claim(), []);
  await hurry(db);
  assert.deepEqual(
    (await second.claim()).map(({ event_id }) => event_id),
    [suspects[1]],
  );
  await hurry(db);
  await first.record(claimed, delivered);
  assert.deepEqual(
    (await first.claim()).map(({ event_id }) => event_id),
    [suspects[2]],
  );
});

test("the guilty one is found, and each innocent of its batch is delivered", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const events = await addEvents(db, 20);
  const guilty = events[13]?.id ?? "";
  let deaths = 0;
  for (let claims = 0; claims < 100; claims++) {
    const worker = await startHandWorker(db);
    const claimed = await worker.claim();
    if (claimed.some(({ event_id }) => event_id === guilty)) {
      deaths += 1;
      await worker.fallSilent();
    } else if (claimed.length > 0) await worker.record(claimed, delivered);
    await hurry(db);
  }
  assert.equal(deaths, 3);
  const ends = (await deliveriesOf(db)).map(({ event_id, status, error_code }) => ({ event_id, status, error_code }));
  assert.deepEqual(
    ends,
    events.map(({ id }) =>
      id === guilty
        ? { event_id: id, status: "dead", error_code: "poison" }
        : { event_id: id, status: "delivered", error_code: null },
    ),
  );
});

test("a suspect that waits for its turn has a job of its own, within a minute and a turn", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvents(db, 4);
  for (let deaths = 0; deaths < 2; deaths++) await loseWorker(db);
  await db.query(
    "update outbox.deliveries set last_attempt_at = now() - interval '1 day' where claimed_by is not null",
  );
  await db.query("delete from graphile_worker._private_jobs");
  await (await startHandWorker(db)).claim();
  const { waiting, jobs, soon } = await db.one(
    `select (select count(*)::int from outbox.deliveries where next_attempt_at > now()) as waiting,
       (select count(distinct j.payload::text)::int from graphile_worker._private_jobs as j
         join outbox.deliveries as d on d.next_attempt_at = j.run_at) as jobs,
       (select max(next_attempt_at) < now() + interval '61 s' from outbox.deliveries) as soon`,
  );
  assert.deepEqual({ waiting, jobs, soon }, { waiting: 3, jobs: 3, soon: true });
});

test("an attempt that had an answer, whatever answer, begins the count anew", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [0], jitter: 0 } });
  const { id } = await addEvent(db);
  for (let deaths = 0; deaths < 2; deaths++) await loseWorker(db);
  await (await startHandWorker(db)).attempt(failedWith());
  assert.equal((await deliveryOf(db, id)).error_code, "http_status");
  for (let deaths = 0; deaths < 2; deaths++) assert.equal((await loseWorker(db)).length, 1);
  const next = await startHandWorker(db);
  assert.equal((await next.claim()).length, 1);
});

test("a redriven one is tried again, alone from the start, and needs three more deaths", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const [{ id: guilty } = { id: "" }, { id: other } = { id: "" }] = await addEvents(db, 2);
  await db.query("update outbox.deliveries set status = 'cancelled', finished_at = now() where event_id = $1", [other]);
  for (let deaths = 0; deaths < 3; deaths++) await loseWorker(db);
  assert.deepEqual(await loseWorker(db), []);
  await db.query("update outbox.deliveries set status = 'pending', finished_at = null where event_id = $1", [other]);

  await db.query("select from outbox.redrive(error_code => 'poison', actor => 'ada')");
  const worker = await startHandWorker(db);
  await worker.claim([await deliveryOf(db, other)]);
  for (let deaths = 0; deaths < 3; deaths++) {
    await hurry(db);
    assert.deepEqual(
      (await loseWorker(db)).map(({ event_id }) => event_id),
      [guilty],
    );
    if (deaths === 0) {
      const suspectsAgain = await startHandWorker(db);
      await suspectsAgain.claim();
      assert.equal((await deliveryOf(db, guilty)).error_code, "poison");
      await db.query(
        "select outbox.unclaim_deliveries($1, array[event_id], array[subscription_id]) from outbox.deliveries",
        [suspectsAgain.id],
      );
    }
  }
  await loseWorker(db);
  assert.equal((await deliveryOf(db, guilty)).status, "dead");
});

test("the late answer of a worker that was taken for lost is kept beside the quarantine", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  for (let deaths = 0; deaths < 2; deaths++) await loseWorker(db);
  const frozen = await startHandWorker(db);
  const claimed = await frozen.claim();
  await frozen.fallSilent();
  await loseWorker(db);
  await frozen.record(claimed, delivered);
  assert.equal((await deliveryOf(db, id)).status, "dead");
  assert.deepEqual((await attemptsOf(db, id)).at(-1), { number: 3, late: true, outcome: "delivered", code: null });
});

test("a suspect of a destination that is disabled is held, and comes back as a suspect", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  const suspects = await addEvents(db, 2);
  for (let deaths = 0; deaths < 2; deaths++) await loseWorker(db);
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  const worker = await startHandWorker(db);
  for (let looks = 0; looks < 2; looks++) assert.deepEqual(await worker.claim(), []);
  const standing = async () => (await deliveriesOf(db)).map(({ status, error_code }) => [status, error_code]);
  assert.deepEqual(await standing(), Array(2).fill(["held", "poison"]));
  await db.query("select outbox.enable_destination($1), outbox.release_held()", [destinationId]);
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [suspects[0]?.id],
  );
});

test("a suspect takes a place of a limited destination only when it is tried, and waits for one like others", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  await addEvents(db, 3);
  for (let deaths = 0; deaths < 2; deaths++) await loseWorker(db);
  await db.query("select outbox.update_destination($1, policy => '{\"in_flight_max\": 2}')", [destinationId]);
  const [first, second] = [await startHandWorker(db), await startHandWorker(db)];
  const places = async () => (await db.one("select count(*)::int as n from outbox.slots")).n;
  await first.claim();
  assert.equal(await places(), 1);
  const [innocent] = await addEvents(db, 1);
  assert.deepEqual(
    (await second.claim()).map(({ event_id }) => event_id),
    [innocent?.id],
  );
  assert.equal(await places(), 2);
  await hurry(db);
  assert.deepEqual(await second.claim(), []);
  assert.equal(await places(), 2);
  const held = await db.query("select distinct error_code, held_reason from outbox.deliveries where status = 'held'");
  assert.deepEqual(held, [{ error_code: "poison", held_reason: "limit" }]);
});

test("a lane goes on behind one that was put into quarantine, in its order, where the subscription says skip", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { topics: ["none.*"] });
  await db.query("select outbox.create_subscription($1, '{order.*}', ordered => true, on_dead => 'skip')", [
    destinationId,
  ]);
  const events = [];
  for (let n = 0; n < 4; n++) events.push((await addEvent(db, { key: "a" })).id);
  const [guilty, ...others] = events;
  const arrived: string[] = [];
  let deaths = 0;
  for (let claims = 0; claims < 40; claims++) {
    const worker = await startHandWorker(db);
    const claimed = await worker.claim();
    if (claimed.some(({ event_id }) => event_id === guilty)) {
      deaths += 1;
      await worker.fallSilent();
    } else {
      arrived.push(...claimed.map(({ event_id }) => event_id));
      if (claimed.length > 0) await worker.record(claimed, delivered);
    }
    await hurry(db);
  }
  assert.deepEqual([deaths, arrived], [3, others]);
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ status }) => status),
    ["dead", "delivered", "delivered", "delivered"],
  );
});
