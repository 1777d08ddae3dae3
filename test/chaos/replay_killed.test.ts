import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { replay } from "../support/replays.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

test("a replay whose worker is killed in the middle goes on with another: nothing is missed, each repetition is explained", async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  const events = 400;
  await addEvents(db, events);
  const { subscriptionId } = await addDestination(db, { config: { url: receiver.url } });
  await using victim = await startWorkerProcess(db.url);
  await replay(db, subscriptionId, "since => '-infinity', rate => 400");
  await receiver.waitFor(100);
  victim.signal("SIGKILL");
  assert.equal((await victim.exit).signal, "SIGKILL");
  const { after } = await db.one("select made::int as after from outbox.replays");
  assert.ok(after >= 100 && after < events, `${after} were made when the worker was killed`);

  await using _heir = await startWorkerProcess(db.url);
  await db.until("select status, made::int from outbox.replays", [], ({ status }) => status === "done");
  await untilAllDelivered(db, 30_000);
  const { extra } = await assertBooksAgree(db, receiver.requests);
  t.diagnostic(`${after} of ${events} were made when the worker was killed; ${extra} arrived twice`);
  const { made, delivered, waiting } = await db.one(
    "select made::int, delivered::int, waiting::int from outbox.replay_progress",
  );
  assert.deepEqual([made, delivered, waiting], [events, events, 0]);
  await assertNothingHeld(db);
});
