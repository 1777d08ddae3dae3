import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, untilAllDelivered } from "./support/ledger.ts";
import { startLossyProxy } from "./support/proxy.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 120;
/** A minute until a locked job is no longer believed in, and one round of the reconciler. */
const deliveredWithinMs = 100_000;

test("when the answer to a fetch of jobs is lost, their deliveries get other jobs", async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await addEvents(db, count);
  await using proxy = await startLossyProxy(db.url);
  proxy.loseAnswersTo("skip locked", 1);
  await using worker = await startWorkerProcess(proxy.url);
  await db.until("select from graphile_worker.jobs where locked_at is not null");

  const ms = await untilAllDelivered(db, deliveredWithinMs);

  t.diagnostic(`all delivered after ${ms} ms`);
  assert.equal(proxy.lost, 1);
  assert.equal((await assertBooksAgree(db, receiver.requests)).extra, 0);
  // The worker is alive: the jobs that nobody works at stay locked in its name until it stops.
  worker.signal("SIGTERM");
  assert.equal((await worker.exit).code, 0);
  assert.deepEqual(await db.lockedJobs(), []);
});
