/** `postrider inbox install`, and how the events in an inbox are consumed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type pg from "pg";
import { destination as postgres } from "../src/destinations/postgres.ts";
import { runCommand } from "./support/command.ts";
import { openDestination } from "./support/contract.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { openInbox } from "./support/inbox.ts";
import { blocks } from "./support/readme.ts";

const install = (db: Pick<TestDatabase, "url">, ...args: readonly string[]) =>
  runCommand(["inbox", "install", ...args], { env: { DATABASE_URL: db.url } });

test("inbox install makes a table of which every column is explained, and may be repeated, by many at once", async () => {
  await using db = await testDatabase({ migrated: false });
  const all = await Promise.all([install(db), install(db), install(db)]);
  for (const { code, stdout, stderr } of [...all, await install(db)]) {
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^The table outbox\.inbox is there\.\n.*grant insert, select \(source, event_id\)/s);
  }
  const columns = await db.query(
    `select attname as name, col_description(attrelid, attnum) is not null as explained from pg_attribute
     where attrelid = 'outbox.inbox'::regclass and attnum > 0 order by attnum`,
  );
  const names = [
    "source",
    "event_id",
    "topic",
    "key",
    "payload",
    "headers",
    "occurred_at",
    "received_at",
    "processed_at",
  ];
  assert.deepEqual(
    columns,
    names.map((name) => ({ name, explained: true })),
  );
});

test("inbox install goes into another schema, and what --dry-run prints does the same", async () => {
  await using db = await testDatabase({ migrated: false });
  const dry = await install({ url: "" }, "--dry-run", "--schema", "billing_in");
  assert.equal(dry.code, 0, dry.stderr);
  await db.query(dry.stdout);
  await db.query("alter schema billing_in rename to by_hand");
  assert.equal((await install(db, "--schema", "billing_in")).code, 0);
  const shape = (schema: string) =>
    db.query(
      `select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull
       from pg_class as c join pg_attribute as a on a.attrelid = c.oid
       where c.relnamespace = $1::regnamespace order by 1, 2`,
      [schema],
    );
  assert.deepEqual(await shape("by_hand"), await shape("billing_in"));
  assert.deepEqual(await db.query("select from pg_namespace where nspname = 'outbox'"), []);
});

test("inbox install works where Postrider is installed, and migrate goes on to", async () => {
  await using db = await testDatabase();
  assert.equal((await install(db)).code, 0);
  const { stdout } = await runCommand(["migrate", "--check"], { env: { DATABASE_URL: db.url } });
  assert.equal(stdout, "The database is up to date.\n");
  const [comment] = await db.query("select obj_description('outbox'::regnamespace) as text");
  assert.match(comment?.text, /^Postrider: a transactional outbox/);
});

test("a table of another kind is left alone, and the error says what was found", async () => {
  await using db = await testDatabase({ migrated: false });
  await db.query("create schema outbox; create table outbox.inbox (n int)");
  const { code, stderr } = await install(db);
  assert.equal(code, 1);
  assert.match(stderr, /^postrider: inbox\.sql: .*\(nothing was changed\) \[POSTRIDER_MIGRATION_FAILED\]\n$/);
  assert.deepEqual(await db.query("select indexname from pg_indexes where schemaname = 'outbox'"), []);
});

const usage = [
  { args: ["inbox"], code: 2, stderr: /^Usage: postrider inbox/ },
  { args: ["inbox", "install", "--schema", 'a"b'], code: 2, stderr: /lower case letters/ },
  { args: ["inbox", "install", "--schema", "pg_mine"], code: 2, stderr: /lower case letters/ },
  { args: ["inbox", "install"], code: 1, stderr: /POSTRIDER_DATABASE_URL_MISSING/ },
  {
    args: ["inbox", "install", "--database-url", "postgres://127.0.0.1:1/x"],
    code: 1,
    stderr: /POSTRIDER_DATABASE_UNREACHABLE/,
  },
  {
    args: ["inbox", "install", "--help"],
    code: 0,
    stdout: /^Usage: postrider inbox install.*Example:\n {2}\$ postrider inbox install/s,
  },
];
for (const { args, code, stdout = /^/, stderr = /^$/ } of usage) {
  test(`postrider ${args.join(" ")} exits with ${code}`, async () => {
    const ended = await runCommand(args);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stdout, stdout);
    assert.match(ended.stderr, stderr);
  });
}

/** The statements of the README's consumer: begin, take, mark, commit. */
const [, takeSql = "", markSql = ""] = (blocks("pgsql")[1] ?? "")
  .replace(/^--.*$/gm, "")
  .split(";")
  .map((statement) => statement.trim());

/** Takes one event, does its work and marks it, in one transaction. Returns whether there was one. */
const consumeOne = async (client: pg.Client, work: (payload: { n: number }) => Promise<unknown>): Promise<boolean> => {
  await client.query("begin");
  try {
    const [event] = (await client.query(takeSql)).rows;
    if (event !== undefined) {
      await work(event.payload);
      await client.query(markSql, [event.source, event.event_id]);
    }
    await client.query("commit");
    return event !== undefined;
  } catch {
    await client.query("rollback");
    return true;
  }
};

test("consumers in parallel, one of which fails now and then, do the work of each event once", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const ids = Array.from({ length: 60 }, (_, n) => `01890a5d-ac96-774b-bcce-${String(n).padStart(12, "0")}`);
  const messages = ids.map((eventId, n) => ({ eventId, payload: JSON.stringify({ n }) }));
  await destination.deliverBatch(messages);
  await inbox.db.query("create table public.effects (n int, by text)");
  let failures = 0;
  const consume = async (by: string, failsEvery: number) => {
    await using client = await inbox.db.client();
    for (let turn = 1; ; turn += 1) {
      const more = await consumeOne(client, async ({ n }) => {
        await client.query("insert into public.effects values ($1, $2)", [n, by]);
        if (turn % failsEvery !== 0) return;
        failures += 1;
        throw new Error("the handler fails");
      });
      if (!more) return;
      if (turn % 10 === 0) await destination.deliverBatch(messages);
    }
  };
  await Promise.all([consume("steady", Number.POSITIVE_INFINITY), consume("failing", 3)]);
  // A row that was locked when one of them looked may have been rolled back after it.
  await consume("last", Number.POSITIVE_INFINITY);
  const effects = await inbox.db.query<{ n: number; by: string }>("select n, by from public.effects order by n");
  assert.deepEqual(
    effects.map(({ n }) => n),
    ids.map((_, n) => n),
  );
  assert.ok(failures > 0);
  assert.ok(effects.some(({ by }) => by === "failing") && effects.some(({ by }) => by === "steady"));
});
