import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addEvent, type GivenEvent, insertEvent } from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";

const nested = (depth: number): string => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
const deepInside = (depth: number): string => `{"a":${nested(depth - 1)},"pad":"${"x".repeat(200)}"}`;
const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const daysFromNow = (days: number): Date => new Date(Date.now() + days * 86_400_000);

/** What is refused, by which constraint or SQLSTATE. */
const refused: readonly (readonly [why: string, event: GivenEvent, by: string])[] = [
  ["a topic in capitals", { topic: "Order.paid" }, "topic_is_dotted_lower_case"],
  ["a topic with a space", { topic: "order paid" }, "topic_is_dotted_lower_case"],
  ["a topic with a trailing newline", { topic: "order.paid\n" }, "topic_is_dotted_lower_case"],
  ["a topic with a Cyrillic а", { topic: "order.p\u0430id" }, "topic_is_dotted_lower_case"],
  ["a topic with an empty word", { topic: "order..paid" }, "topic_is_dotted_lower_case"],
  ["a topic that ends in a dot", { topic: "order." }, "topic_is_dotted_lower_case"],
  ["a topic that is a pattern", { topic: "order.*" }, "topic_is_dotted_lower_case"],
  ["an empty topic", { topic: "" }, "topic_is_dotted_lower_case"],
  ["a topic of 129 bytes", { topic: "a".repeat(129) }, "topic_is_dotted_lower_case"],
  ["no topic", { topic: null }, "23502"],
  ["an empty tenant", { tenant_id: "" }, "tenant_id_is_1_to_128_printable_characters"],
  ["the tenant *", { tenant_id: "*" }, "tenant_id_is_1_to_128_printable_characters"],
  ["a tenant with a space", { tenant_id: "a b" }, "tenant_id_is_1_to_128_printable_characters"],
  ["a tenant with a trailing newline", { tenant_id: "a\n" }, "tenant_id_is_1_to_128_printable_characters"],
  ["a tenant of 129 characters", { tenant_id: "a".repeat(129) }, "tenant_id_is_1_to_128_printable_characters"],
  ["an empty key", { key: "" }, "key_is_1_to_512_bytes"],
  ["a key of 513 bytes", { key: `${"é".repeat(256)}x` }, "key_is_1_to_512_bytes"],
  ["an empty dedupe_key", { dedupe_key: "" }, "dedupe_key_is_1_to_512_bytes"],
  ["a dedupe_key of 513 bytes", { dedupe_key: "x".repeat(513) }, "dedupe_key_is_1_to_512_bytes"],
  ["a traceparent in capitals", { traceparent: trace.toUpperCase() }, "traceparent_is_w3c"],
  ["a traceparent with a trailing newline", { traceparent: `${trace}\n` }, "traceparent_is_w3c"],
  ["headers that are a list", { headers: "[]" }, "headers_map_names_to_strings"],
  ["headers that are a string", { headers: '"x"' }, "headers_map_names_to_strings"],
  ["a header that is a number", { headers: '{"a": 1}' }, "headers_map_names_to_strings"],
  ["a header that is a list", { headers: '{"a": ["b"]}' }, "headers_map_names_to_strings"],
  ["a header whose name has a space", { headers: '{"a b": "c"}' }, "headers_map_names_to_strings"],
  ["a header without a name", { headers: '{"": "c"}' }, "headers_map_names_to_strings"],
  ["a header with a line break", { headers: '{"a": "b\\r\\nc: d"}' }, "headers_map_names_to_strings"],
  ["a header with a trailing newline", { headers: '{"a": "b\\n"}' }, "headers_map_names_to_strings"],
  ["a header beyond ASCII", { headers: '{"a": "é"}' }, "headers_map_names_to_strings"],
  ["headers over 8 KiB", { headers: JSON.stringify({ a: "x".repeat(8192) }) }, "headers_are_at_most_8_kib"],
  ["a fact of the day after tomorrow", { occurred_at: daysFromNow(2) }, "times_are_near_the_present"],
  ["a fact of the last century", { occurred_at: "1999-12-31 00:00:00Z" }, "times_are_near_the_present"],
  [
    "an event made in the last century",
    { created_at: "1999-12-31 12:00:00Z", occurred_at: "2000-01-01 00:00:00Z" },
    "times_are_near_the_present",
  ],
  ["a delivery in two years", { deliver_after: daysFromNow(730) }, "times_are_near_the_present"],
  ["no payload", { payload: null }, "23502"],
  ["a payload that is not JSON", { payload: "{total: 1}" }, "22P02"],
  ["an empty payload", { payload: "" }, "22P02"],
  ["\\u0000 in a payload", { payload: '{"a": "\\u0000"}' }, "22P05"],
  ["\\u0000 in a name", { payload: '{"\\u0000": 1}' }, "22P05"],
  ["a high surrogate alone", { payload: '{"a": "\\ud83d"}' }, "22P02"],
  ["a low surrogate alone", { payload: '{"a": "\\ude00"}' }, "22P02"],
  ["a lone surrogate in a long payload", { payload: `["${"x".repeat(500)}\\ud83d"]` }, "22P02"],
  ["a payload of 65 levels", { payload: nested(65) }, "payload_nests_at_most_64_levels"],
  ["65 levels inside an object", { payload: deepInside(65) }, "payload_nests_at_most_64_levels"],
  ["a number beyond a double", { payload: '{"a": 1e400}' }, "payload_numbers_fit_a_double"],
  ["a number beyond a double, below zero", { payload: '{"a": [-1E309]}' }, "payload_numbers_fit_a_double"],
  ["a number of 400 digits", { payload: "9".repeat(400) }, "payload_numbers_fit_a_double"],
  ["a number beyond numeric", { payload: "1e999999" }, "22003"],
  ["a payload of 300 KiB", { payload: JSON.stringify("x".repeat(300 * 1024)) }, "PR001"],
  ["a payload over 1 MiB", { payload: JSON.stringify("x".repeat(1024 * 1024)) }, "payload_is_at_most_1_mib"],
];

test("an event that could not be delivered is refused when it is inserted", async (t) => {
  await using db = await testDatabase();
  for (const [why, event, by] of refused) {
    await t.test(why, async () => {
      const { constraint, code } = await refusalOf(insertEvent(db, event));
      assert.equal(constraint === "" || code === "23502" ? code : constraint, by);
    });
  }
  assert.deepEqual(await db.query("select from outbox.events"), []);
});

test("what is wrong with an event is said by its field, also where triggers are off", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("set session_replication_role = replica");
  const { message, code } = await refusalOf(insertEvent(client, { topic: "Order.paid" }));
  assert.deepEqual(
    [code, message],
    ["23514", 'events.topic: must be dotted lower-case words of at most 128 bytes, like order.paid, not "Order.paid"'],
  );
});

const accepted: readonly (readonly [why: string, event: GivenEvent])[] = [
  ["a topic of one word", { topic: "ping" }],
  ["a topic of 128 bytes", { topic: "a".repeat(128) }],
  ["digits and underscores in a topic", { topic: "order_2.line_item.3d" }],
  ["a tenant of 128 characters that are not ASCII", { tenant_id: "ü".repeat(128) }],
  ["a key of 512 bytes", { key: "é".repeat(256) }],
  ["a traceparent", { traceparent: trace }],
  [
    "headers with all the characters of a name",
    { headers: JSON.stringify({ "X-a!#$%&'*+.^_`|~9": "tab is not, ~ is" }) },
  ],
  ["no headers at all", { headers: "{}" }],
  ["a fact of ten years ago", { occurred_at: daysFromNow(-3650) }],
  ["a fact of a clock that is an hour ahead", { occurred_at: daysFromNow(1 / 24) }],
  ["a delivery in a year", { deliver_after: daysFromNow(365) }],
];

test("what stands at the edge of the rules is accepted", async (t) => {
  await using db = await testDatabase();
  for (const [why, event] of accepted) await t.test(why, async () => void (await addEvent(db, event)));
});

const payloads: readonly (readonly [why: string, payload: string])[] = [
  ["the order of keys", '{"z": 1, "a": 2, "m": {"y": 1, "b": 2}}'],
  ["keys that come twice", '{"a": 1, "a": 2}'],
  ["the zero of 1.10", '{"price": 1.10, "rate": 1.0e2, "minus": -0.0}'],
  ["integers of 20 digits", '{"id": 12345678901234567890}'],
  ["white space", ' {\n\t"a" :1 }\r\n '],
  ["escapes as they were written", '{"a": "\\u00e9 \\/ \\n", "b": "é 😀 \\ud83d\\ude00"}'],
  ["line separators of JavaScript", '{"a": "\u2028\u2029"}'],
  ["a string", '"paid"'],
  ["a number", "12.50"],
  ["null", "null"],
  ["true", "true"],
  ["an empty list", "[]"],
  ["64 levels", nested(64)],
  ["64 levels inside an object", deepInside(64)],
  ["the largest double", "1.7976931348623157e308"],
  ["a number that is nearly nothing", "1e-400"],
  ["digits in a string", JSON.stringify("9".repeat(400))],
  ["250 KiB", JSON.stringify("x".repeat(250 * 1024))],
];

test("a payload is kept byte for byte", async (t) => {
  await using db = await testDatabase();
  for (const [why, payload] of payloads) {
    await t.test(why, async () => {
      const { id } = await addEvent(db, { payload });
      const kept = await db.one("select payload::text as payload from outbox.events where id = $1", [id]);
      assert.equal(kept.payload, payload);
    });
  }
});

test("the limit of a payload can be raised up to 1 MiB", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("set outbox.payload_bytes_max = '524288'");
  await addEvent(client, { payload: JSON.stringify("x".repeat(500 * 1024)) });
  const tooLong = await refusalOf(insertEvent(client, { payload: JSON.stringify("x".repeat(525 * 1024)) }));
  assert.match(tooLong.message, /events\.payload: is longer than 524288 bytes/);
  assert.match(tooLong.hint, /outbox\.payload_bytes_max/);
  await client.query("set outbox.payload_bytes_max = '99999999'");
  const { constraint } = await refusalOf(insertEvent(client, { payload: JSON.stringify("x".repeat(2 ** 20)) }));
  assert.equal(constraint, "payload_is_at_most_1_mib");
});

test("an event has a time-ordered id, a number, and the time of its transaction", async () => {
  await using db = await testDatabase();
  const made = [await addEvent(db), await addEvent(db), await addEvent(db)];
  const rows = await db.query(
    `select id, substring(id::text from 15 for 1) as version, tenant_id, occurred_at >= created_at as later,
       abs(extract(epoch from created_at - now())) < 60 as recent,
       id >= outbox.uuid_at(created_at - interval '1 minute') and id < outbox.uuid_at(created_at + interval '1 minute') as timed
     from outbox.events order by seq`,
  );
  const expected = { version: "7", tenant_id: "default", later: true, recent: true, timed: true };
  assert.deepEqual(
    rows,
    made.map(({ id }) => ({ id, ...expected })),
  );
  const [first, second, third] = made.map(({ id }) => id.slice(0, 13));
  assert.ok(`${first}` <= `${second}` && `${second}` <= `${third}`);
});

test("an event is a fact: it cannot be changed", async () => {
  await using db = await testDatabase();
  await addEvent(db);
  const { code, message } = await refusalOf(db.query("update outbox.events set topic = 'order.lost'"));
  assert.deepEqual([code, message], ["PR001", "events: is append-only"]);
});
