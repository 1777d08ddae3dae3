/** Alerts of deliveries that ended without arriving. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { letTimePass, newlyTold, toldSoFar } from "../support/alerts.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";

const dead = failedWith("too_large", { outcome: "dead" });
const lastTold = async (db: TestDatabase) => (await toldSoFar(db)).at(-1);

test("the first dead letter of a destination is told, later ones only counted, until an hour is quiet", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const worker = await startHandWorker(db);
  await addEvents(db, 3);
  await worker.attempt(dead);
  assert.deepEqual(await newlyTold(db), ["dead_letter firing warning"]);
  const told = await lastTold(db);
  assert.deepEqual(
    [told?.count, told?.last_error?.code, told?.last_error?.message],
    [3, "too_large", "failed: too_large"],
  );
  assert.equal(told?.redrive, `select * from outbox.redrive(destination_id => '${id}', statuses => '{dead}');`);
  await addEvents(db, 2);
  await worker.attempt(dead);
  assert.deepEqual(await newlyTold(db), []);
  const open = await db.one("select count::int, text from outbox.open_alerts");
  assert.deepEqual([open.count, /: 5\./.test(open.text)], [5, true]);

  await letTimePass(db, "59 minutes");
  assert.deepEqual(await newlyTold(db), []);
  await letTimePass(db, "1 minute");
  assert.deepEqual(await newlyTold(db), ["dead_letter resolved warning"]);
  await addEvent(db);
  await worker.attempt(dead);
  assert.deepEqual(await newlyTold(db), ["dead_letter firing warning"]);
  assert.equal((await lastTold(db))?.count, 1);
});

test("dead letters that were redriven are no alert any more", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const worker = await startHandWorker(db);
  await addEvents(db, 2);
  await worker.attempt(dead);
  assert.deepEqual(await newlyTold(db), ["dead_letter firing warning"]);
  await db.query("select from outbox.redrive(destination_id => $1, max => 1)", [id]);
  assert.deepEqual(await newlyTold(db), []);
  await db.query("select from outbox.redrive(destination_id => $1)", [id]);
  assert.deepEqual(await newlyTold(db), ["dead_letter resolved warning"]);
  assert.deepEqual(await newlyTold(db), []);
});

const schedules: readonly (readonly [name: string, policy: object])[] = [
  ["a list of delays", { schedule_seconds: [0], jitter: 0 }],
  ["the exponential formula", { exponential: { base_seconds: 0.001, factor: 1, cap_seconds: 0.001, attempts: 2 } }],
];
for (const [name, policy] of schedules) {
  test(`retries that are used up, by ${name}, are told at most once a window`, async () => {
    await using db = await testDatabase();
    await addDestination(db, { policy: { ...policy, alerts: { window_seconds: 300 } } });
    const worker = await startHandWorker(db);
    const exhaust = async () => {
      await addEvent(db);
      await worker.attempt(failedWith("http_status"));
      await worker.attempt(failedWith("http_status"));
    };
    await addEvent(db);
    await worker.attempt(failedWith("http_status"));
    assert.deepEqual(await newlyTold(db), []);
    await worker.attempt(failedWith("http_status"));
    assert.deepEqual(
      new Set(await newlyTold(db)),
      new Set(["dead_letter firing warning", "retries_exhausted firing warning"]),
    );
    await exhaust();
    assert.deepEqual(await newlyTold(db), []);

    await letTimePass(db, "299 seconds");
    await exhaust();
    assert.deepEqual(await newlyTold(db), []);
    await letTimePass(db, "2 seconds");
    await exhaust();
    assert.deepEqual(await newlyTold(db), ["retries_exhausted firing warning"]);
    assert.equal((await lastTold(db))?.count, 4);
    await letTimePass(db, "301 seconds");
    assert.deepEqual(await newlyTold(db), ["retries_exhausted resolved warning"]);
    assert.deepEqual(await newlyTold(db), []);
  });
}

test("a delivery that dies at once has not used up its retries", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvent(db);
  await (await startHandWorker(db)).attempt(dead);
  assert.deepEqual(await newlyTold(db), ["dead_letter firing warning"]);
});

test("poison is an alert of its own, until it is redriven", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvent(db);
  await db.query(
    "update outbox.deliveries set status = 'dead', dead_at = now(), finished_at = now(), error_code = 'poison'",
  );
  assert.deepEqual(await newlyTold(db), ["poison firing critical"]);
  assert.match((await lastTold(db))?.last_error?.remedy ?? "", /payload/);
  await letTimePass(db, "2 days");
  assert.deepEqual(await newlyTold(db), []);
  await db.query("select from outbox.redrive(destination_id => $1, error_code => 'poison')", [id]);
  assert.deepEqual(await newlyTold(db), ["poison resolved critical"]);
});
