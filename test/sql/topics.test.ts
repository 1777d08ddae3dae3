import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { testDatabase } from "../support/database.ts";

const candidates: readonly (readonly [topic: string, candidates: readonly string[]])[] = [
  ["ping", ["*", "ping"]],
  ["order.paid", ["*", "order.*", "order.paid"]],
  ["order.paid.late", ["*", "order.*", "order.paid.*", "order.paid.late"]],
  ["postrider", ["*", "postrider"]],
  ["postrider.alert.poison", ["postrider.*", "postrider.alert.*", "postrider.alert.poison"]],
];

test("a topic is wanted by its name, by each prefix, and by * unless it is Postrider's own", async () => {
  await using db = await testDatabase();
  for (const [topic, expected] of candidates) {
    assert.deepEqual(await db.one("select outbox.topic_candidates($1) as list", [topic]), { list: expected });
  }
});

const wanted: readonly (readonly [pattern: string, topic: string, wants: boolean])[] = [
  ["*", "order.paid", true],
  ["order.*", "order.paid", true],
  ["order.*", "order.paid.late", true],
  ["order.*", "order", false],
  ["order.*", "orders.paid", false],
  ["order.paid.*", "order.paid", false],
  ["order.paid", "order.paid", true],
  ["order.paid", "order.paid.late", false],
  ["paid", "order.paid", false],
  ["*", "postrider.test", false],
  ["postrider.*", "postrider.test", true],
  ["postrider.*", "postrider", false],
];

const wantsSql = "select outbox.check_topics(array[$1]) && outbox.topic_candidates($2) as wants";

test("a prefix wants every topic below it, not itself", async (t) => {
  await using db = await testDatabase();
  for (const [pattern, topic, wants] of wanted) {
    await t.test(`${pattern} ${wants ? "wants" : "does not want"} ${topic}`, async () => {
      assert.deepEqual(await db.one(wantsSql, [pattern, topic]), { wants });
    });
  }
});

test("a pattern wants a topic if it is the topic, a prefix with something behind it, or * and the topic is not Postrider's own", async () => {
  await using db = await testDatabase();
  const topic = fc
    .array(fc.constantFrom("a", "b", "a_1", "postrider"), { minLength: 1, maxLength: 4 })
    .map((words) => words.join("."));
  const pattern = fc.oneof(
    topic,
    topic.map((prefix) => `${prefix}.*`),
    fc.constant("*"),
  );
  const pairs = fc.sample(fc.tuple(pattern, topic), 2000);
  const rows = await db.query(
    `select outbox.check_topics(array[pair.pattern]) && outbox.topic_candidates(pair.topic) as wants
     from unnest($1::text[], $2::text[]) with ordinality as pair (pattern, topic, number)
     order by pair.number`,
    [pairs.map(([first]) => first), pairs.map(([, second]) => second)],
  );
  const expected = pairs.map(([first, second]) => ({
    wants:
      first === second ||
      (first === "*" ? !second.startsWith("postrider.") : first.endsWith("*") && second.startsWith(first.slice(0, -1))),
  }));
  assert.deepEqual(rows, expected);
});

test("the topics of a subscription come back sorted and without doubles", async () => {
  await using db = await testDatabase();
  const given = ["order.paid", "a_b.*", "*", "order.paid", "order.*", `${"x".repeat(128)}.*`];
  const { topics } = await db.one("select outbox.check_topics($1) as topics", [given]);
  assert.deepEqual(topics, ["*", "a_b.*", "order.*", "order.paid", `${"x".repeat(128)}.*`]);
});

const refusals: readonly (readonly [topics: readonly (string | null)[] | null, message: string, hint: string])[] = [
  [null, "topics: must not be empty", "{*}"],
  [[], "topics: must not be empty", "{*}"],
  [Array.from({ length: 101 }, (_, i) => `a${i}`), "topics: has more than 100 entries", "order.*"],
  [["a", null], "topics[1]: must not be null", "Leave it out"],
  [["x".repeat(129)], "topics[0]: is longer than 128 bytes", "prefix"],
  [[`${"x".repeat(129)}.*`], "topics[0]: is longer than 128 bytes", "prefix"],
  [["order.paid", "Order.paid"], "topics[1]: is not a topic", "lower-case"],
  [["order*"], "topics[0]: is not a topic", "order.*"],
  [["*.paid"], "topics[0]: is not a topic", "stands alone"],
  [["order.*.late"], "topics[0]: is not a topic", "stands alone"],
  [["order.**"], "topics[0]: is not a topic", "stands alone"],
  [[".*"], "topics[0]: is not a topic", "stands alone"],
  [["order..paid"], "topics[0]: is not a topic", "order.paid"],
  [["order."], "topics[0]: is not a topic", "order.paid"],
  [["order paid"], "topics[0]: is not a topic", "order.paid"],
  [["ordér"], "topics[0]: is not a topic", "order.paid"],
  [["order\n"], "topics[0]: is not a topic", "order.paid"],
  [[""], "topics[0]: is not a topic", "order.paid"],
];

test("what is not a topic is refused, with its place and a remedy", async (t) => {
  await using db = await testDatabase();
  for (const [topics, message, hint] of refusals) {
    await t.test(`${message}: ${JSON.stringify(topics)?.slice(0, 60)}`, async () => {
      const refused = db.query("select outbox.check_topics($1)", [topics]);
      await assert.rejects(refused, (error: Error & { code: string; hint: string }) => {
        assert.deepEqual([error.message, error.code], [message, "PR001"]);
        assert.ok(error.hint.includes(hint), error.hint);
        return true;
      });
    });
  }
});
