import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, deliveryOf } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";
import { advance, replay } from "../support/replays.ts";

const policy = { schedule_seconds: [], redrives_max: 2 };

/** Redrives by these arguments: how many were put back, and what was said aside. */
async function redrive(db: TestDatabase, args: string, params: unknown[]) {
  await using client = await db.client();
  const notices: (string | undefined)[] = [];
  client.on("notice", ({ message }) => notices.push(message));
  const { rowCount } = await client.query(`select * from outbox.redrive(${args})`, params);
  return { redriven: rowCount, notices };
}

test("a delivery is redriven redrives_max times; then it is left out, and that is said and audited", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { policy });
  const worker = await startHandWorker(db);
  const old = await addEvent(db);
  await worker.attempt(failedWith());
  for (const _time of [1, 2]) {
    assert.deepEqual(await redrive(db, "event_id => $1", [old.id]), { redriven: 1, notices: [] });
    await worker.attempt(failedWith());
  }
  const fresh = await addEvent(db);
  await worker.attempt(failedWith());
  const said = ["redrive: 1 left out, redriven redrives_max times already"];
  assert.deepEqual(await redrive(db, "event_id => $1, dry_run => true", [old.id]), { redriven: 0, notices: said });
  assert.deepEqual(await redrive(db, "destination_id => $1", [destinationId]), { redriven: 1, notices: said });
  assert.deepEqual(
    [(await deliveryOf(db, old.id)).status, (await deliveryOf(db, fresh.id)).status],
    ["dead", "pending"],
  );
  const { detail } = await db.one(
    "select detail from outbox.audit_log where action = 'redrive' order by id desc limit 1",
  );
  assert.deepEqual([detail.redriven, detail.left_out], [1, 1]);
  await db.query("select outbox.update_destination($1, policy => $2)", [destinationId, { ...policy, redrives_max: 3 }]);
  assert.deepEqual(await redrive(db, "event_id => $1", [old.id]), { redriven: 1, notices: [] });
});

test("left out of one redrive, others take its place up to max", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { policy });
  const worker = await startHandWorker(db);
  await addEvents(db, 3);
  await worker.attempt(failedWith());
  await db.query("update outbox.deliveries set redrive_count = 2 where seq = (select min(seq) from outbox.deliveries)");
  assert.equal((await redrive(db, "destination_id => $1, max => 2", [destinationId])).redriven, 2);
});

test("replays count too, and leave out what was put back too often", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db, { policy });
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db);
  await worker.attempt(failedWith());
  for (const _time of [1, 2]) {
    await replay(db, subscriptionId);
    assert.equal((await advance(db)).repeated, 1);
    await worker.attempt(failedWith());
  }
  await replay(db, subscriptionId);
  const { repeated, left_alone } = await advance(db);
  assert.deepEqual([repeated, left_alone], [0, 1]);
  assert.equal((await redrive(db, "event_id => $1", [id])).redriven, 0);
});
