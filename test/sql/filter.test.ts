import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { filterAndPayload } from "../support/filter_arbitrary.ts";
import { filterPasses } from "../support/filter_oracle.ts";
import { filterTruth } from "../support/filter_truth.ts";

type Pair = readonly [filter: string, payload: string];

/** Filters and payloads as JSON text, in one query however many they are. */
async function evaluate(db: TestDatabase, pairs: readonly Pair[]): Promise<boolean[]> {
  const rows = await db.query<{ passes: boolean }>(
    `select outbox.filter_matches(pair.payload::jsonb, outbox.compile_filter(pair.filter::jsonb)) as passes
     from unnest($1::text[], $2::text[]) with ordinality as pair (filter, payload, number)
     order by pair.number`,
    [pairs.map(([filter]) => filter), pairs.map(([, payload]) => payload)],
  );
  return rows.map((row) => row.passes);
}

const predict = ([filter, payload]: Pair): boolean => filterPasses(JSON.parse(filter), JSON.parse(payload));

/** What the oracle cannot know: numbers beyond a double, Postgres's regex options, and jsonpath. */
const onlyForPostgres = /\d{16}|\(\?i\)|\$jsonpath/;

test("the truth table holds", async (t) => {
  await using db = await testDatabase();
  for (const [filter, payload, passes, note] of filterTruth) {
    await t.test(`${filter} ${passes ? "passes" : "stops"} ${payload}: ${note}`, async () => {
      assert.deepEqual(await evaluate(db, [[filter, payload]]), [passes]);
      if (!onlyForPostgres.test(filter)) assert.equal(predict([filter, payload]), passes);
    });
  }
});

test("SQL and the oracle agree on 24,000 random filters and payloads", async (t) => {
  await using db = await testDatabase();
  const seed = Number(process.env["POSTRIDER_TEST_SEED"] ?? Date.now() % 2 ** 31);
  t.diagnostic(`POSTRIDER_TEST_SEED=${seed}`);
  const pairs = fc.sample(filterAndPayload, { numRuns: 24_000, seed });
  let passed = 0;
  for (let start = 0; start < pairs.length; start += 3000) {
    const batch = pairs.slice(start, start + 3000);
    const answers = await evaluate(db, batch);
    const differing = batch.filter((pair, index) => answers[index] !== predict(pair));
    assert.deepEqual(differing, [], `POSTRIDER_TEST_SEED=${seed}`);
    passed += answers.filter(Boolean).length;
  }
  t.diagnostic(`${pairs.length} pairs, ${passed} passed`);
  assert.ok(passed > pairs.length / 5 && passed < (pairs.length * 4) / 5, "both answers are common");
});

test("a filter that is not there passes everything, a payload that is not there passes no filter", async () => {
  await using db = await testDatabase();
  const row = await db.one(`
    select outbox.compile_filter(null) as path,
      outbox.filter_matches('5', null) as without_filter,
      outbox.filter_matches(null, null) as without_both,
      outbox.filter_matches(null, '$ == 1') as without_payload`);
  assert.deepEqual(row, { path: null, without_filter: true, without_both: true, without_payload: false });
});

/** Raw predicates that fail in all the ways the accepted part of jsonpath can fail. */
const failingPaths = [
  "$.a / 0 > 1",
  "$.a % 0 > 1",
  "-$.a > 1",
  "$.a + $.b == 1",
  "strict $.nothing > 1",
  "strict $.a[*] == 1",
  "$.a[5 to 1] == 1",
  "$.a[2147483648] == 1",
  '$.a["x"] == 1',
  "$.a.double() > 1",
  "$.a.abs() > 1",
  "strict $.a.size() > 1",
  "$.a.keyvalue().value == 1",
  "$.a * $.a * $.a * $.a * $.a * $.a * $.a * $.a > 1",
  'exists($.** ? (@.a / 0 == 1 || @ like_regex "(a|b)*a(a|b){20}"))',
  `${"(".repeat(300)}$.a == 1${")".repeat(300)}`,
  `$${"[0]".repeat(300)} == 1`,
  "!(!($.a / 0 == 1))",
] as const;

const awkwardPayloads = [
  ...["null", "true", "5", '"x"', "[]", "{}", '{"a": 0}', '{"a": "x"}', '{"a": "1e400"}', '{"a": "NaN"}', '{"a": []}'],
  ...[
    '{"a": [1, "x", null]}',
    '{"a": {"b": 1}, "b": [[]]}',
    `{"a": ${"9".repeat(308)}, "b": 1e-300}`,
    '{"a": "infinity"}',
  ],
  `${'{"a":'.repeat(63)}1${"}".repeat(63)}`,
  `${"[".repeat(63)}${"]".repeat(63)}`,
];

test("no accepted filter raises an error, whatever the payload", async () => {
  await using db = await testDatabase();
  const filters = failingPaths.map((path) => JSON.stringify({ $jsonpath: path }));
  const pairs = filters.flatMap((filter) => awkwardPayloads.map((payload): Pair => [filter, payload]));
  const answers = await evaluate(db, pairs);
  assert.equal(answers.length, failingPaths.length * awkwardPayloads.length);
  assert.ok(answers.every((passes) => typeof passes === "boolean"));
});

test("the methods that come with Postgres 17 raise no error either", async (t) => {
  await using db = await testDatabase();
  const { version } = await db.one<{ version: number }>("select current_setting('server_version_num')::int as version");
  if (version < 170_000) return t.skip("not in this Postgres");
  const methods = ["bigint", "boolean", "integer", "number", "string"];
  const filters = methods.map((method) => JSON.stringify({ $jsonpath: `$.a.${method}() == 1` }));
  await evaluate(
    db,
    filters.flatMap((filter) => awkwardPayloads.map((payload): Pair => [filter, payload])),
  );
});

test("matching is part of the query that calls it: no function call for each row", async () => {
  await using db = await testDatabase();
  const plan = await db.query(
    "explain (verbose) select outbox.filter_matches(x.payload, x.path) from (select '{}'::jsonb, '$'::jsonpath offset 0) as x (payload, path)",
  );
  assert.match(JSON.stringify(plan), /jsonb_path_match/);
  assert.doesNotMatch(JSON.stringify(plan), /filter_matches/);
});

const order = '{"total": 5, "status": "paid", "items": [{"price": 1}, {"price": 2}], "note": null}';
const explanations: readonly (readonly [filter: string, reason: string | null])[] = [
  ['{"total": {"$gte": 1}}', null],
  ["{}", null],
  ['{"total": {"$gte": 10}}', "total: 5 is not >= 10"],
  ['{"total": "5"}', 'total: 5 is not "5"'],
  ['{"customer": {"country": "DE"}}', "customer.country is missing"],
  ['{"items": {"price": {"$gt": 2}}}', "items.price: [1, 2] is not > 2"],
  ['{"status": {"$ne": "paid"}}', 'status: "paid" is "paid"'],
  ['{"note": {"$exists": false}}', "note is present"],
  [
    '{"status": {"$startsWith": "x"}, "total": {"$in": [1, 2]}}',
    'total: 5 is not one of [1, 2]; status: "paid" does not start with "x"',
  ],
  ['{"total": {"$gte": 10}, "status": "paid"}', "total: 5 is not >= 10"],
  ['{"$and": [{"total": 5}, {"total": 6}]}', "total: 5 is not 6"],
  ['{"$or": [{"total": 1}, {"x": 2}]}', "none of: total: 5 is not 1 | x is missing"],
  ['{"$not": {"total": 5}}', 'not {"total": 5} does not hold'],
  ['{"total": {"$not": {"$lt": 10}}}', 'total: not {"$lt": 10} does not hold'],
  ['{"$jsonpath": "$.total > 7"}', 'the jsonpath ($."total" > 7) does not hold'],
];

test("an explanation names what does not hold", async (t) => {
  await using db = await testDatabase();
  for (const [filter, reason] of explanations) {
    await t.test(`${filter}: ${reason}`, async () => {
      assert.deepEqual(await db.query("select outbox.explain_filter($1, $2) as reason", [order, filter]), [{ reason }]);
    });
  }
});

test("there is an explanation if and only if the filter does not match", async () => {
  await using db = await testDatabase();
  const pairs = fc.sample(filterAndPayload, 2000);
  const [row] = await db.query(
    `select count(*)::int as wrong
     from unnest($1::text[], $2::text[]) as pair (filter, payload)
     where outbox.filter_matches(pair.payload::jsonb, outbox.compile_filter(pair.filter::jsonb))
       <> (outbox.explain_filter(pair.payload::jsonb, pair.filter::jsonb) is null)`,
    [pairs.map(([filter]) => filter), pairs.map(([, payload]) => payload)],
  );
  assert.deepEqual(row, { wrong: 0 });
});
