import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { ask } from "../support/server.ts";
import { within } from "./support/ledger.ts";
import { spawnWorker, startWorkerProcess } from "./support/worker.ts";

const count = 10;

test("a restored copy does not send until somebody confirms it", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await addEvents(db, count);
  const copy = new URL(db.url);
  copy.pathname += "_copy";
  const name = copy.pathname.slice(1);
  const server = new URL(db.url);
  server.pathname = "/postgres";
  await ask(server.href, "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", [
    db.url.split("/").at(-1),
  ]);
  await ask(server.href, `create database ${name} template ${db.url.split("/").at(-1)}`);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => ask(server.href, `drop database ${name} with (force)`).then(() => {}));

  await using refused = spawnWorker(copy.href);
  const { msg, code, stderr } = await refused.log.until(
    (line) => line.msg === "worker joined" || line.msg === "the process ended",
  );
  assert.equal(msg, "the process ended");
  assert.notEqual(code, 0);
  assert.match(String(stderr), /is a copy.*select outbox\.confirm_instance\(\)/s);
  assert.equal(receiver.count, 0);
  const untouched = "select count(*)::int as n from graphile_worker.jobs where attempts = 0 and locked_at is null";
  assert.deepEqual(await ask(copy.href, untouched), [{ n: 1 }]);

  await ask(copy.href, "select outbox.confirm_instance()");
  await using _worker = await startWorkerProcess(copy.href);
  await within(5_000, "the copy sends", () => receiver.count === count);
  assert.deepEqual(await db.query("select from outbox.attempts"), []);
});
