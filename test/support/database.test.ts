import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase, testServer } from "./database.ts";
import { ask } from "./server.ts";

test("a test database is migrated, confirmed as an instance of its own, and gone afterwards", async () => {
  let url = "";
  {
    await using db = await testDatabase();
    url = db.url;
    assert.deepEqual(await db.query("select * from outbox.events"), []);
    assert.deepEqual(await db.lockedJobs(), []);
  }
  await assert.rejects(ask(url, "select"), /does not exist/);
});

test("two databases know nothing of each other", async () => {
  await using first = await testDatabase({ migrated: false });
  await using second = await testDatabase({ migrated: false });
  await first.query("create table mine (id int)");
  await assert.rejects(second.query("select from mine"), { code: "42P01" });
});

test("one insists on a single row", async () => {
  await using db = await testDatabase({ migrated: false });
  assert.deepEqual(await db.one("select $1::int as n", [1]), { n: 1 });
  await assert.rejects(db.one("select generate_series(1, 2)"), /Expected one row, not 2/);
  await assert.rejects(db.one("select where false"), /Expected one row, not 0/);
});

test("until waits for a row that another connection writes", async () => {
  await using db = await testDatabase({ migrated: false });
  await using client = await db.client();
  await db.query("create table counter (n int)");
  const row = db.until<{ n: number }>("select max(n) as n from counter", [], ({ n }) => n === 2);
  for (const n of [1, 2]) await client.query("insert into counter values ($1)", [n]);
  assert.deepEqual(await row, { n: 2 });
});

test("a private server can be killed under a database, which is there again after a restart", async () => {
  await using server = await testServer({ durable: true });
  await using db = await testDatabase({ server, migrated: false });
  await db.query("create table kept (id int)");
  await server.stop("kill");
  await assert.rejects(db.query("select"));
  await server.restart();
  assert.deepEqual(await db.query("select * from kept"), []);
});
