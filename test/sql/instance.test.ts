/** A copy of a database that sends would repeat real deliveries. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { startHandWorker } from "../support/hand_worker.ts";
import { startReceiver } from "../support/receiver.ts";
import { refusalOf } from "../support/refusal.ts";
import { startTestWorker } from "../support/worker.ts";

const register = (db: TestDatabase) =>
  db.query("select outbox.register_worker($1, 'pool', 'host', 1, 'test')", [randomUUID()]);

/** What a restore elsewhere, or a copy inside the cluster, looks like from inside. */
const copies = [
  ["another server", "update outbox.instance set system_identifier = system_identifier + 1"],
  ["another database of the same server", "update outbox.instance set database_oid = 1"],
  ["no instance at all", "delete from outbox.instance"],
] as const;

for (const [from, sql] of copies) {
  test(`a database that was copied from ${from} refuses workers until it is confirmed`, async () => {
    await using db = await testDatabase();
    await db.query(sql);
    const { code, message, hint } = await refusalOf(register(db));
    assert.equal(code, "PR004");
    assert.match(message, /this database is a copy/);
    assert.match(hint, /outbox\.confirm_instance\(\)/);
    assert.deepEqual(await db.query("select from outbox.workers"), []);
    await db.query("select outbox.confirm_instance()");
    await startHandWorker(db);
  });
}

test("a worker on a copy by create database ... template says so and sends nothing", async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await addEvent(db);
  await using elsewhere = await testDatabase({ migrated: false });
  const name = new URL(db.url).pathname.slice(1);
  await elsewhere.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", [name]);
  await elsewhere.query(`create database ${name}_copy template ${name}`);
  t.after(() => {
    // The worker asks for it, because it cannot do its work.
    process.exitCode = undefined;
  });
  const copy = { url: db.url.replace(name, `${name}_copy`) };
  try {
    const refused = await startTestWorker(copy).then(
      async (worker) => {
        await using started = worker;
        return (await started.logged(({ msg }) => msg === "the worker cannot join")).reason;
      },
      (error: Error) => error.message,
    );
    assert.match(String(refused), /this database is a copy.*select outbox\.confirm_instance\(\)/);
    assert.equal(receiver.count, 0);
  } finally {
    await elsewhere.query(`drop database ${name}_copy with (force)`);
  }
});

test("confirming again changes nothing but the time", async () => {
  await using db = await testDatabase();
  const read = () => db.one("select system_identifier, database_oid, frontier from outbox.instance");
  const before = await read();
  await db.query("select outbox.confirm_instance()");
  assert.deepEqual(await read(), before);
});
