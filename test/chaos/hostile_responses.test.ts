import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { hostileAnswers, startHostileServer } from "./support/hostile.ts";
import { assertNothingHeld, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const repetitions = 3;
/** What a worker may need at most, whatever it is answered; a hundred megabytes of an answer do not fit in. */
const growthMiBMax = 100;

test("whatever a receiver answers, its attempts are recorded and the others' deliveries go on", async (t) => {
  await using hostile = await startHostileServer();
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await using worker = await startWorkerProcess(db.url);
  await addDestination(db, { config: { url: receiver.url }, topics: ["friendly"] });
  for (const [name, { hangs = false }] of Object.entries(hostileAnswers)) {
    const policy = { schedule_seconds: [], timeout_seconds: hangs ? 2 : 10 };
    await addDestination(db, { name, config: { url: `${hostile.url}/${name}` }, topics: [`hostile.${name}`], policy });
  }
  await addEvent(db, { topic: "friendly" });
  await receiver.waitFor(1);
  const before = worker.peakMiB();

  for (let i = 0; i < repetitions; i++) {
    for (const name of Object.keys(hostileAnswers)) await addEvent(db, { topic: `hostile.${name}` });
    await addEvent(db, { topic: "friendly" });
    const friendlyMs = await within(5_000, "the friendly receiver gets its event", () => receiver.count === i + 2);
    t.diagnostic(`the friendly receiver got its event after ${friendlyMs} ms`);
  }
  await db.until<{ n: number }>(
    "select count(*)::int as n from outbox.deliveries where finished_at is null",
    [],
    ({ n }) => n === 0,
  );

  const attempts = await db.query<{ name: string; result: string; n: number }>(
    `select t.name, coalesce(a.code, a.outcome::text) as result, count(*)::int as n
     from outbox.attempts as a join outbox.destinations as t on t.id = a.destination_id
     where t.name = any ($1) group by 1, 2 order by 1, 2`,
    [Object.keys(hostileAnswers)],
  );
  const results = Object.fromEntries(attempts.map(({ name, result, n }) => [name, `${result} × ${n}`]));
  const expected = Object.entries(hostileAnswers).map(([name, answer]) => [
    name,
    `${answer.expected} × ${repetitions}`,
  ]);
  assert.deepEqual(results, Object.fromEntries(expected));
  const { longest } = await db.one<{ longest: number }>(
    "select max(octet_length(response ->> 'body'))::int as longest from outbox.attempts",
  );
  assert.ok(longest <= 16 * 1024 * 3, `${longest} bytes of a body were kept`);

  assert.ok(worker.isAlive);
  assert.equal(worker.workerIds.length, 1, "its runner never broke");
  const after = worker.peakMiB();
  t.diagnostic(`the worker's peak memory: ${before} MiB before, ${after} MiB after`);
  if (before !== undefined && after !== undefined) assert.ok(after - before < growthMiBMax);
  await assertNothingHeld(db);
});
