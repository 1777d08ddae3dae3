/** What the doctor says of servers that are set up, or used, in ways that harm: each ill in the way that is found. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readConfig } from "../src/config.ts";
import { examine } from "../src/doctor.ts";
import type { EmbeddedPostgres } from "../src/embedded.ts";
import { listHoldingSlots, listOldTransactions } from "../src/queries/server.ts";
import { type TestDatabase, testDatabase, testServer } from "./support/database.ts";
import { ask } from "./support/server.ts";
import { startTransactionPooler } from "./support/transaction_pooler.ts";

let server: EmbeddedPostgres;
before(async () => {
  const settings = { wal_level: "logical", max_prepared_transactions: "2", max_notify_queue_pages: "64" };
  server = await testServer({ durable: true, settings });
});
after(() => server[Symbol.asyncDispose]());

const diagnose = async (url: string, check: string) => {
  const diagnoses = await examine({ connectionString: url, config: readConfig({}) });
  assert.ok(diagnoses.some((diagnosis) => diagnosis.check === check));
  return diagnoses
    .filter((diagnosis) => diagnosis.check === check && diagnosis.level !== "ok")
    .map(({ level, message, remedy }) => ({ level, message, remedy }));
};

const runEach = async (url: string, statements = ""): Promise<void> => {
  for (const statement of statements.split(/(?<=;)/)) await ask(url, statement);
};

const nameOf = async (db: TestDatabase): Promise<string> => (await db.one("select current_database() as name")).name;

test("settings that lose commits are found wherever they are made, and each remedy takes its own back", async () => {
  await using db = await testDatabase({ migrated: false, server });
  const name = await nameOf(db);
  const role = `${name}_app`;
  await db.query(`create role ${role}`);
  assert.deepEqual(await diagnose(db.url, "settings"), []);
  await db.query(`alter database ${name} set synchronous_commit = off`);
  await db.query(`alter role ${role} set synchronous_commit = 'false'`);
  await db.query(`alter role ${role} in database ${name} set synchronous_commit = off`);
  await db.query(`alter role all set session_replication_role = replica`);
  const found = await diagnose(db.url, "settings");
  assert.deepEqual(
    found.map(({ level, message, remedy }) => [level, message.split(":")[0], remedy]),
    [
      ["problem", "session_replication_role is replica for role all", "alter role all reset session_replication_role;"],
      ["warning", `synchronous_commit is off for database ${name}`, `alter database ${name} reset synchronous_commit;`],
      ["warning", `synchronous_commit is off for role ${role}`, `alter role ${role} reset synchronous_commit;`],
      [
        "warning",
        `synchronous_commit is off for role ${role} in database ${name}`,
        `alter role ${role} in database ${name} reset synchronous_commit;`,
      ],
    ],
  );
  for (const { remedy } of found) await runEach(db.url, remedy);
  assert.deepEqual(await diagnose(db.url, "settings"), []);
});

test("settings of the whole server are found, with what changes them where they were made", async () => {
  await using db = await testDatabase({ migrated: false, server });
  for (const name of ["fsync", "full_page_writes", "synchronous_commit", "autovacuum"]) {
    await ask(server.url, `alter system set ${name} = off`);
  }
  await ask(server.url, "select pg_reload_conf()");
  await db.until("select current_setting('fsync') as fsync", [], ({ fsync }) => fsync === "off");
  const found = await diagnose(db.url, "settings");
  assert.deepEqual(
    found.map(({ level, message }) => [level, message.split(":")[0]]),
    [
      ["warning", "autovacuum is off"],
      ["problem", "fsync is off"],
      ["problem", "full_page_writes is off"],
      ["warning", "synchronous_commit is off"],
    ],
  );
  for (const { remedy } of found) await runEach(db.url, remedy);
  await db.until("select current_setting('synchronous_commit') as level", [], ({ level }) => level === "on");
  assert.deepEqual(await diagnose(db.url, "settings"), []);
  const options = `${db.url}?options=-c%20synchronous_commit%3Doff`;
  assert.match((await diagnose(options, "settings"))[0]?.remedy ?? "", /^Take synchronous_commit out of DATABASE_URL/);
});

test("what the command line of the server says is found, with the flag that is to go", async () => {
  await using db = await testDatabase({ migrated: false });
  await using hasty = await testServer({ settings: { fsync: "off" } });
  assert.notEqual(hasty.url, db.url);
  const found = await diagnose(hasty.url, "settings");
  assert.ok(found.some(({ remedy }) => remedy === "Start the server without -c fsync=off"));
});

test("a prepared transaction that nobody ends is found, with who made it and what ends it", async () => {
  await using db = await testDatabase({ migrated: false, server });
  await using client = await db.client();
  await client.query("begin");
  await client.query("create table t (id integer)");
  await client.query("prepare transaction 'forgotten'");
  const [old] = await listOldTransactions(client, 0);
  assert.equal(old?.what, "prepared transaction 'forgotten', role postgres");
  await client.query(old?.end ?? "");
  assert.deepEqual(await listOldTransactions(client, 0), []);
});

test("a replication slot that nobody reads is found, with what drops it", async () => {
  await using db = await testDatabase({ migrated: false, server });
  await using client = await db.client();
  assert.deepEqual(await diagnose(db.url, "replication"), []);
  await client.query("select pg_create_logical_replication_slot('old_one', 'pgoutput')");
  const [slot] = await listHoldingSlots(client, 0, 2 ** 50);
  assert.deepEqual([slot?.slot, slot?.active], ["old_one", false]);
  assert.deepEqual(await listHoldingSlots(client, 1_000_000, 2 ** 50), []);
  assert.equal((await listHoldingSlots(client, 1_000_000, 0))[0]?.slot, "old_one");
  await client.query("select pg_drop_replication_slot('old_one')");
  assert.deepEqual(await listHoldingSlots(client, 0, 0), []);
});

test("a listener that is stuck in a transaction is found by the notifications that pile up behind it", async () => {
  await using db = await testDatabase({ migrated: false, server });
  assert.deepEqual(await diagnose(db.url, "notifications"), []);
  await using stuck = await db.client();
  await stuck.query("listen a");
  await stuck.query("begin");
  const fill = () => db.query("select pg_notify('a', n || repeat('x', 7900)) from generate_series(1, 12) as n");
  await fill();
  const [warned] = await diagnose(db.url, "notifications");
  assert.deepEqual(
    [warned?.level, /^the notification queue is \d\d % full/.test(warned?.message ?? "")],
    ["warning", true],
  );
  for (let fills = 0; fills < 3; fills++) await fill();
  const [found] = await diagnose(db.url, "notifications");
  assert.equal(found?.level, "problem");
  const [row] = (await ask(db.url, found?.remedy ?? "")) as { pid: number }[];
  await ask(db.url, "select pg_terminate_backend($1)", [row?.pid]);
  await db.query("select pg_notify('a', '')");
  await db.until("select pg_notification_queue_usage() as usage", [], ({ usage }) => usage < 0.1);
  assert.deepEqual(await diagnose(db.url, "notifications"), []);
});

test("a pooler in transaction mode is found", async () => {
  await using db = await testDatabase({ migrated: false, server });
  assert.deepEqual(await diagnose(db.url, "pooler"), []);
  await using pooler = await startTransactionPooler(db.url);
  const [found] = await diagnose(pooler.url, "pooler");
  assert.equal(found?.level, "problem");
  assert.match(found?.message ?? "", /pooler in transaction mode/);
});
