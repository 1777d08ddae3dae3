/** Failures in a row: at which levels they are told, and what starts the count anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, failInARow, newlyTold, toldSoFar } from "../support/alerts.ts";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";

const policy = { alerts: { failures: 10 } };

test("a streak is told of at 50, 70, 90 and 100 percent, each once, graver each time, and once when it ends", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  const steps: readonly (readonly [failures: number, told: string[]])[] = [
    [4, []],
    [5, ["consecutive_failures firing info"]],
    [6, []],
    [7, ["consecutive_failures firing warning"]],
    [8, []],
    [9, ["consecutive_failures firing warning"]],
    [10, ["consecutive_failures firing critical"]],
    [11, []],
    [5000, []],
  ];
  for (const [failures, told] of steps) {
    await failInARow(db, id, failures);
    assert.deepEqual(await newlyTold(db), told, `${failures} failures`);
    assert.deepEqual(await newlyTold(db), [], `${failures} failures, looked at again`);
  }
  assert.equal((await db.query("select from outbox.alerts where state = 'firing'")).length, 4);
  assert.deepEqual(await db.query("select severity, count::int from outbox.open_alerts"), [
    { severity: "critical", count: 10 },
  ]);
  await answer(db, id);
  assert.deepEqual(await newlyTold(db), ["consecutive_failures resolved critical"]);
  assert.deepEqual(await db.query("select from outbox.open_alerts"), []);
  assert.equal(new Set((await toldSoFar(db)).map(({ dedup_key }) => dedup_key)).size, 1);
});

test("levels that are reached at once are told as the highest", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 95);
  assert.deepEqual(await newlyTold(db), ["consecutive_failures firing critical"]);
});

test("without a word in the policy, half of 100 failures are worth an alert", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await failInARow(db, id, 49);
  assert.deepEqual(await newlyTold(db), []);
  await failInARow(db, id, 50);
  assert.deepEqual(await newlyTold(db), ["consecutive_failures firing info"]);
});

test("attempts that really fail make the streak, and an alert of it", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { alerts: { failures: 2 } } });
  await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("timeout"));
  assert.deepEqual(await newlyTold(db), ["consecutive_failures firing info"]);
  await addEvent(db);
  await worker.attempt(failedWith("timeout"));
  assert.deepEqual(await newlyTold(db), ["consecutive_failures firing critical"]);
});

test("a streak goes on after quiet days", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 5);
  await newlyTold(db);
  await db.query(
    `update outbox.destination_health set first_failure_at = first_failure_at - interval '9 days', last_failure_at = last_failure_at - interval '9 days';
     update outbox.alerts set since = since - interval '9 days'`,
  );
  assert.deepEqual(await newlyTold(db), []);
  await failInARow(db, id, 6);
  assert.deepEqual(await newlyTold(db), []);
  await failInARow(db, id, 7);
  assert.deepEqual(await newlyTold(db), ["consecutive_failures firing warning"]);
});

const restarts: Readonly<Record<string, string>> = {
  "new config": `select outbox.update_destination($1, config => '{"url": "https://example.com/new"}')`,
  "a new policy": `select outbox.update_destination($1, policy => '{"alerts": {"failures": 10}, "jitter": 0}')`,
  "a new secret": "select outbox.rotate_secret($1, overlap => '0')",
  "being enabled": "select outbox.enable_destination($1)",
};
for (const [what, sql] of Object.entries(restarts)) {
  test(`${what} starts the streak anew: the alert is over, and the next failures count from one`, async () => {
    await using db = await testDatabase();
    const { id } = await addDestination(db, { policy });
    await failInARow(db, id, 10);
    await newlyTold(db);
    await db.query(sql, [id]);
    const { failures } = await db.one("select consecutive_failures as failures from outbox.destination_health");
    assert.equal(failures, 0);
    assert.deepEqual(await newlyTold(db), ["consecutive_failures resolved critical"]);
    assert.match((await toldSoFar(db)).at(-1)?.title ?? "", /counted anew/);
    await failInARow(db, id, 5);
    assert.deepEqual(await newlyTold(db), ["consecutive_failures firing info"]);
  });
}

test("a new name, or a worker's look at it, leaves the streak alone", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 10);
  await newlyTold(db);
  await db.query("select outbox.update_destination($1, name => 'other')", [id]);
  await db.query("select outbox.mark_checked(id, version, 'odd') from outbox.destinations");
  assert.deepEqual(await newlyTold(db), []);
});

test("a streak that ended and began again between two looks is told of as a new one", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 10, 60);
  await newlyTold(db);
  await answer(db, id);
  await failInARow(db, id, 10, 1);
  assert.deepEqual(await newlyTold(db), [
    "consecutive_failures resolved critical",
    "consecutive_failures firing critical",
  ]);
});
