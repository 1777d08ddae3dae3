import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
const path = (jsonpath: string): string => JSON.stringify({ $jsonpath: jsonpath });
const regex = (pattern: string): string => JSON.stringify({ sku: { $regex: pattern } });
const chain = (count: number): string => JSON.stringify({ a: { $in: Array.from({ length: count }, (_, i) => i) } });

/** Each form of a mistake: the filter, what is said about it, and a word of the remedy. */
const refusals: readonly (readonly [filter: string, message: string, hint: string])[] = [
  ["5", "filter: must be an object", '{"field": condition}'],
  ["[]", "filter: must be an object", "{}"],
  ['{"variants": {"price": {"$gtee": 10}}}', "filter.variants.price.$gtee: unknown operator", "$gte"],
  ['{"a": {"$where": "1"}}', "filter.a.$where: unknown operator", "$jsonpath"],
  ['{"$gte": 10}', "filter.$gte: needs a field", '{"field": {"$gte": ...}}'],
  ['{"$or": [{"$eq": 1}]}', "filter.$or[0].$eq: needs a field", "field"],
  ['{"country": ["DE", "AT"]}', "filter.country: a list is not a value to compare with", '{"$in": ["DE", "AT"]}'],
  ['{"country": {"$eq": ["DE"]}}', "filter.country.$eq: a list is not a value to compare with", '{"$in": ["DE"]}'],
  ['{"country": {"$ne": {"a": 1}}}', "filter.country.$ne: an object is not a value to compare with", "nested"],
  ['{"total": {"$gte": null}}', "filter.total.$gte: must be a number or a string", "order"],
  ['{"total": {"$lt": true}}', "filter.total.$lt: must be a number or a string", "order"],
  [
    '{"a": {"$in": []}}',
    "filter.a.$in: must be a list of strings, numbers, true, false or null",
    '{"$in": ["a", "b"]}',
  ],
  [
    '{"a": {"$nin": "x"}}',
    "filter.a.$nin: must be a list of strings, numbers, true, false or null",
    '{"$nin": ["a", "b"]}',
  ],
  ['{"a": {"$in": [[1]]}}', "filter.a.$in: must be a list of strings, numbers, true, false or null", "$in"],
  ['{"a": {"$exists": "yes"}}', "filter.a.$exists: must be true or false", '{"$exists": true}'],
  ['{"a": {"$startsWith": 5}}', "filter.a.$startsWith: must be a string", "$eq"],
  ['{"a": {"$regex": null}}', "filter.a.$regex: must be a string", "$eq"],
  ['{"a": {"$contains": ""}}', "filter.a.$contains: must have 1 to 200 characters", "$exists"],
  [`{"a": {"$endsWith": "${"x".repeat(201)}"}}`, "filter.a.$endsWith: must have 1 to 200 characters", "$exists"],
  ['{"$and": []}', "filter.$and: must be a list of at least one filter", '{"$and": [{...}, {...}]}'],
  ['{"a": {"$or": {}}}', "filter.a.$or: must be a list of at least one filter", "$or"],
  ['{"a": {"$or": [1, 2]}}', "filter.a.$or: must hold only filters", "$in"],
  ['{"a": {"$not": 5}}', "filter.a.$not: must be an object", "$ne"],
  ['{"customer": {}}', "filter.customer: is empty", '{"$exists": true}'],
  ['{"$not": {}}', "filter.$not: is empty", '{"$exists": true}'],
  ['{"$or": [{"a": 1}, {}]}', "filter.$or[1]: is empty", '{"$exists": true}'],
  [`{"a": "${"x".repeat(4096)}"}`, "filter: is longer than 4096 bytes", "several subscriptions"],
  ['{"a": 1e5000}', "filter: is longer than 4096 bytes", "several subscriptions"],
  [nested(9), "filter: is nested deeper than 8 levels", "$jsonpath"],
  [chain(63), "filter: has more than 64 parts", "several subscriptions"],
  [regex("x".repeat(201)), "filter.sku.$regex: must have 1 to 200 characters", "$exists"],
  [regex("((("), "filter.sku.$regex: is not a valid regular expression", "parentheses"],
  [regex("a{256}"), "filter.sku.$regex: is not a valid regular expression", "repetition"],
  [regex("(a)\\1"), "filter.sku.$regex: back-references are not allowed", "no bound"],
  [regex("a(?=b)"), "filter.sku.$regex: look-around is not allowed", "$not"],
  [regex("(?!a)b"), "filter.sku.$regex: look-around is not allowed", "$not"],
  [regex("(?<!a)b"), "filter.sku.$regex: look-around is not allowed", "$not"],
  [regex("(?x)a b"), "filter.sku.$regex: of the embedded options only (?i) at the start is allowed", "Leave"],
  [regex("***=a"), "filter.sku.$regex: of the embedded options only (?i) at the start is allowed", "Leave"],
  ['{"$jsonpath": 5}', "filter.$jsonpath: must be a string", "$.total >= 10"],
  ['{"$jsonpath": "$.a == 1", "b": 2}', "filter.$jsonpath: must stand alone", "&&"],
  ['{"a": {"$jsonpath": "$ == 1"}}', "filter.a.$jsonpath: stands only at the top level", '{"$jsonpath": "..."}'],
  [path("$.a =="), "filter.$jsonpath: is not a valid jsonpath", "syntax error"],
  [path(""), "filter.$jsonpath: is not a valid jsonpath", "jsonpath"],
  [path('$.a like_regex "((("'), "filter.$jsonpath: is not a valid jsonpath", "regular expression"],
  [path(`$.a == "${"x".repeat(1000)}"`), "filter.$jsonpath: is longer than 1000 bytes", "several"],
  [path("$.a == 1e9000"), "filter.$jsonpath: holds a number with too many digits", "smaller"],
  [path("$.a == $x"), "filter.$jsonpath: variables are not allowed", "value itself"],
  [path('$.a == $"x y"'), "filter.$jsonpath: variables are not allowed", "value itself"],
  [path("$.a.datetime() < $.b.datetime()"), "filter.$jsonpath: the method .datetime() is not allowed", "as strings"],
  [
    path("$.a /* .abs() */ . datetime ( ) < 1"),
    "filter.$jsonpath: the method .datetime() is not allowed",
    "as strings",
  ],
  [path("$.a.ceiling() > 1"), "filter.$jsonpath: the method .ceiling() is not allowed", "errors"],
  [path("$.a"), "filter.$jsonpath: is not a predicate", "exists(...)"],
  [path("$.a ? (@ > 1)"), "filter.$jsonpath: is not a predicate", "exists(...)"],
  [path("($.a > 1).type()"), "filter.$jsonpath: is not a predicate", "exists(...)"],
  [path("exists($.**.b.**)"), "filter.$jsonpath: has more than one .** or .keyvalue()", "Name the fields"],
  [
    path("exists($.keyvalue().keyvalue())"),
    "filter.$jsonpath: has more than one .** or .keyvalue()",
    "Name the fields",
  ],
  [path("$.a[0, 0] == 1"), "filter.$jsonpath: lists several subscripts", "[*]"],
  [path("exists($.a ? (exists($.b ? (@ == 1))))"), "filter.$jsonpath: refers to $ inside a ?(...)", "Use @"],
  [path('$.a like_regex "(a)\\\\1"'), "filter.$jsonpath: back-references are not allowed", "no bound"],
  [path('exists($ ? (@.a like_regex "(?=a)" flag "i"))'), "filter.$jsonpath: look-around is not allowed", "$not"],
];

test("a mistake is refused when it is written, with its place and a remedy", async (t) => {
  await using db = await testDatabase();
  for (const [filter, message, hint] of refusals) {
    await t.test(`${message}: ${filter.slice(0, 60)}`, async () => {
      await assert.rejects(
        db.query("select outbox.compile_filter($1)", [filter]),
        (error: Error & { code: string; hint: string }) => {
          assert.equal(error.message, message);
          assert.equal(error.code, "PR001");
          assert.ok(error.hint.includes(hint), error.hint);
          return true;
        },
      );
    });
  }
});

test("the datetime methods of Postgres 17 are refused", async () => {
  await using db = await testDatabase();
  for (const method of ["date", "time", "time_tz", "timestamp", "timestamp_tz", "decimal"]) {
    const refused = db.query("select outbox.compile_filter($1)", [path(`$.a.${method}() == 1`)]);
    await assert.rejects(refused, { code: "PR001", message: /^filter\.\$jsonpath: (the method|is not a valid)/ });
  }
});

test("what is at the limits is accepted", async (t) => {
  await using db = await testDatabase();
  const accepted = [
    nested(8),
    chain(62),
    regex("x".repeat(200)),
    regex("^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"),
    regex("^\\\\1\\(?=$"),
    regex("[(]?a"),
    path('$."$x" == ".datetime()" && $.a == "?($)"'),
    path('$.a like_regex "(((" flag "q"'),
    path('$."like_regex \\"(a)" starts with "(a)\\\\1"'),
    path("exists($.items[*] ? (@.qty > 1 && exists(@.tags ? (@ == 2)))) && $.total > 1"),
    path("strict $.a.b == 1"),
    path('exists($.keyvalue() ? (@.key == "a,b"))'),
    path("$.a[1 to last].abs() > 1"),
  ];
  for (const filter of accepted) {
    await t.test(filter.slice(0, 80), async () => {
      const { path: compiled } = await db.one("select outbox.compile_filter($1)::text as path", [filter]);
      assert.equal(typeof compiled, "string");
    });
  }
});

/** Expressions that hang backtracking matchers, or that Postgres takes long to compile; with what becomes of each. */
const hostile: readonly (readonly [pattern: string, fate: "evaluated" | "refused"])[] = [
  ["(a+)+$b", "evaluated"],
  ["(a*)*b", "evaluated"],
  ["(a|aa)+$b", "evaluated"],
  ["(.*a){12}b", "evaluated"],
  ["(a|b)*a(a|b){20}c", "evaluated"],
  ["a*a*a*a*a*a*a*a*a*a*a*a*b", "evaluated"],
  [`${"(".repeat(60)}a${")*".repeat(60)}b`, "evaluated"],
  ["^(.*)(.*)(.*)\\3\\2\\1$", "refused"],
  ["(?=(a+))a*b\\1", "refused"],
  ["((a{1,255}){1,255}){1,10}", "refused"],
  ["(((x{1,20}){1,20}){1,20}){1,20}", "refused"],
  ["(x{1,100}){1,100}", "refused"],
];

test("a hostile regular expression is refused, or evaluated in linear work", async (t) => {
  await using db = await testDatabase();
  const payload = JSON.stringify({ sku: "a".repeat(20_000) });
  for (const [pattern, fate] of hostile) {
    await t.test(`${fate}: ${pattern.slice(0, 60)}`, async () => {
      const match = db.query("select outbox.filter_matches($1, outbox.compile_filter($2)) as passes", [
        payload,
        regex(pattern),
      ]);
      if (fate === "evaluated") assert.deepEqual(await match, [{ passes: false }]);
      else await assert.rejects(match, { code: "PR001" });
    });
  }
});

const awkward = [
  `'; drop schema outbox; --`,
  '"',
  '\\"',
  "$$",
  "%I%s",
  "\\u0000",
  "a'b",
  "\u2028",
  "@ == 1",
  '" || 1 == 1 || "',
  "\u0007\u001f",
];

test("no name and no value breaks out of its quotes", async () => {
  await using db = await testDatabase();
  for (const name of awkward.map((part) => `a${part}`)) {
    for (const value of awkward) {
      for (const operator of ["$eq", "$contains", "$startsWith", "$endsWith"]) {
        const filter = JSON.stringify({ [name]: { [operator]: value } });
        const sql = `select outbox.filter_matches($1, outbox.compile_filter($3)) as same,
          outbox.filter_matches($2, outbox.compile_filter($3)) as other`;
        const row = await db.one(sql, [JSON.stringify({ [name]: value }), JSON.stringify({ [name]: "else" }), filter]);
        assert.deepEqual(row, { same: true, other: false }, filter);
      }
    }
  }
});
