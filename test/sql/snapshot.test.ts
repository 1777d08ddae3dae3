import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { dumpSchema, snapshotFile } from "../support/dump.ts";

test("the schema is the one that was committed; `npm run dump` writes a change of it down", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  const [dump, committed] = [await dumpSchema(client), await readFile(snapshotFile, "utf8")];
  assert.deepEqual(dump.split("\n"), committed.split("\n"));
});

/** A change of each kind, and what it must be seen by. */
const changes: readonly (readonly [sql: string, line: RegExp])[] = [
  ["alter table outbox.deliveries add note text", /^ {2}note text$/m],
  ["alter table outbox.workers alter pid set default 1", /^ {2}pid integer not null default 1$/m],
  ["alter table outbox.workers add constraint pid_is_positive check (pid > 0)", /constraint pid_is_positive CHECK/],
  ["create index slow on outbox.deliveries (status)", /INDEX slow ON outbox\.deliveries/],
  ["alter type outbox.delivery_status add value 'lost'", /'cancelled', 'lost'/],
  [
    "alter function outbox.cancel(uuid, uuid, text) security invoker",
    /^function cancel\(.*\n {2}returns integer language plpgsql volatile set/m,
  ],
  ["grant execute on function outbox.prune(interval) to public", /FOR EVERYBODY/],
  ["drop trigger _100_dedupe on outbox.events", /^(?![\s\S]*_100_dedupe)/],
  ["alter view outbox.lag reset (security_invoker)", /^view lag$/m],
];

test("a change of any kind is seen", async () => {
  for (const [sql, line] of changes) {
    await using db = await testDatabase();
    await using client = await db.client();
    assert.doesNotMatch(await readFile(snapshotFile, "utf8"), line, sql);
    await client.query(sql);
    assert.match(await dumpSchema(client), line, sql);
  }
});
