/** Events for later, with a real worker: not before their time, and not a second after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "./support/database.ts";
import { addDestination, addEvent, jobsOf } from "./support/factory.ts";
import { startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

test("each event arrives within the second after its deliver_after", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using _worker = await startTestWorker(db);
  const first = Date.now() + 1_500;
  const dueAt = new Map<string, number>();
  for (const ms of [800, 0, 333, 1_999]) {
    const { id } = await addEvent(db, { deliver_after: new Date(first + ms) });
    dueAt.set(id, first + ms);
  }
  for (const { headers, receivedAt } of await receiver.waitFor(dueAt.size)) {
    const lateMs = receivedAt.getTime() - (dueAt.get(String(headers["webhook-id"])) ?? 0);
    assert.ok(lateMs >= 0 && lateMs < 1_000, `${lateMs} ms`);
  }
  assert.equal(receiver.count, dueAt.size);
});

test("a job is not later than 200 ms after any of its deliveries is due, and never earlier", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const second = Math.ceil(Date.now() / 1_000 + 5) * 1_000;
  const dueAt = new Map<string, number>();
  for (const ms of [10, 190, 210, 950, 1_010]) {
    const { id } = await addEvent(db, { deliver_after: new Date(second + ms) });
    dueAt.set(id, second + ms);
  }
  await db.query("select outbox.schedule_due()");
  const jobs = await jobsOf(db);
  assert.equal(jobs.length, 4);
  const late = jobs.flatMap(({ deliveries, run_at }) =>
    Object.values(deliveries)
      .flat()
      .map((id) => run_at.getTime() - (dueAt.get(id) ?? 0)),
  );
  assert.deepEqual(
    late.toSorted((a, b) => a - b),
    [0, 0, 0, 0, 180],
  );
});
