import assert from "node:assert/strict";
import { test } from "node:test";
import type pg from "pg";
import { testDatabase } from "../support/database.ts";
import { addDestination } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const transactions = 10_000;
const connections = 8;

/** JSON that does not survive being parsed and written again: odd spaces, 1.10, a number beyond 2^53, escapes, key order. */
const payloadOf = (n: number, part: string): string =>
  `{ "part":"${part}",\t"n": ${n}, "price": ${n}.10, "big": 12345678901234567890${n}, "é": "\\u00e9😀", "a" : [1 ,2], "n": 0 }`;

const insert = (client: pg.Client, payload: string) =>
  client.query("insert into outbox.events (topic, payload) values ('order.paid', $1)", [payload]);

/** One transaction of a kind that its number decides; returns the payloads that it committed. */
const transact = async (client: pg.Client, n: number): Promise<string[]> => {
  const [before, inside, after] = ["before", "inside", "after"].map((part) => payloadOf(n, part)) as [
    string,
    string,
    string,
  ];
  await client.query("begin");
  await insert(client, before);
  if (n % 3 === 0) {
    await client.query("rollback");
    return [];
  }
  if (n % 5 > 1) {
    await client.query("commit");
    return [before];
  }
  await client.query("savepoint s");
  await insert(client, inside);
  const kept = n % 5 === 0;
  await client.query(kept ? "release s" : "rollback to s");
  await insert(client, after);
  await client.query("commit");
  return kept ? [before, inside, after] : [before, after];
};

test(`of ${transactions} transactions exactly what they committed is delivered, byte for byte`, async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startWorkerProcess(db.url, { POSTRIDER_LOG_LEVEL: "info" });
  const committed = new Set<string>();
  let next = 0;
  const produce = async (): Promise<void> => {
    await using client = await db.client();
    while (next < transactions) for (const payload of await transact(client, next++)) committed.add(payload);
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: connections }, produce));
  const producedMs = Math.round(performance.now() - startedAt);

  await within(60_000, `${committed.size} arrivals`, () => receiver.count >= committed.size);
  await untilAllDelivered(db, 20_000);

  const { events, extra } = await assertBooksAgree(db, receiver.requests, { committedPayloads: committed });
  t.diagnostic(`${events} events, ${transactions} transactions in ${producedMs} ms`);
  assert.equal(events, committed.size);
  assert.equal(extra, 0);
  await assertNothingHeld(db);
  assert.ok(worker.isAlive);
});
