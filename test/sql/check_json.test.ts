import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type TestDatabase, testDatabase } from "../support/database.ts";

const check = (db: TestDatabase, value: unknown, schema: unknown) =>
  db.query("select outbox.check_json($1, $2, 'config')", [JSON.stringify(value), JSON.stringify(schema)]);

const configSchema = z.strictObject({
  url: z.url().max(30),
  method: z.enum(["POST", "PUT"]).default("POST"),
  headers: z.record(z.string().regex(/^[A-Za-z0-9-]+$/), z.string().min(1)).optional(),
  retries: z.int().min(0).max(10).optional(),
  rate: z.number().gt(0).lt(100).optional(),
  tags: z.array(z.string().min(2)).min(1).max(2).optional(),
  note: z.string().nullable().optional(),
  version: z.literal(2).optional(),
  on: z.boolean().optional(),
  auth: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("basic"), user: z.string() }),
      z.strictObject({ kind: z.literal("none") }),
    ])
    .optional(),
  target: z.union([z.string(), z.strictObject({ id: z.int() })]).optional(),
  extra: z.looseObject({ a: z.string().optional() }).optional(),
});
const schema = z.toJSONSchema(configSchema, { io: "input" });
const url = "https://example.com/";

const accepted: readonly Record<string, unknown>[] = [
  { url },
  {
    url,
    method: "PUT",
    headers: { "X-Id": "7" },
    retries: 10,
    rate: 0.5,
    tags: ["ab"],
    note: null,
    version: 2,
    on: true,
  },
  { url, retries: 3.0, note: "x", auth: { kind: "basic", user: "jo" }, target: "x", extra: { a: "b", c: [1] } },
  { url, auth: { kind: "none" }, target: { id: 5 }, extra: {} },
];

const refused: readonly (readonly [value: unknown, message: string, hint?: string])[] = [
  [5, "config: must be an object"],
  [null, "config: must be an object"],
  [{}, "config.url: is required"],
  [{ urll: url }, "config.urll: is not a known field", "Known fields: auth, extra, headers, method"],
  [{ url: 5 }, "config.url: must be a string"],
  [{ url: "example.com" }, "config.url: must be a URL", "https://"],
  [{ url: `${url}${"x".repeat(30)}` }, "config.url: must have at most 30 characters"],
  [{ url, method: "GET" }, "config.method: must be one of POST, PUT"],
  [{ url, headers: { "X Id": "7" } }, "config.headers.X Id: its name does not have the right form", "^[A-Za-z0-9-]+$"],
  [{ url, headers: { "X-Id": 7 } }, "config.headers.X-Id: must be a string"],
  [{ url, headers: { "X-Id": "" } }, "config.headers.X-Id: must not be empty"],
  [{ url, retries: 1.5 }, "config.retries: must be an integer"],
  [{ url, retries: -1 }, "config.retries: must be at least 0"],
  [{ url, retries: 11 }, "config.retries: must be at most 10"],
  [{ url, rate: 0 }, "config.rate: must be more than 0"],
  [{ url, rate: 100 }, "config.rate: must be less than 100"],
  [{ url, tags: [] }, "config.tags: must not be empty"],
  [{ url, tags: ["ab", "cd", "ef"] }, "config.tags: must have at most 2 entries"],
  [{ url, tags: ["ab", "c"] }, "config.tags[1]: must have at least 2 characters"],
  [{ url, note: 5 }, "config.note: must be a string or null"],
  [{ url, version: 3 }, "config.version: must be 2"],
  [{ url, on: "true" }, "config.on: must be true or false"],
  [{ url, auth: { kind: "basic" } }, "config.auth.user: is required"],
  [{ url, auth: { kind: "oauth" } }, "config.auth: has none of the allowed forms", "kind must be one of"],
  [{ url, target: { id: "x" } }, "config.target.id: must be an integer"],
  [{ url, target: 5 }, "config.target: has none of the allowed forms"],
  [{ url, extra: { a: 5 } }, "config.extra.a: must be a string"],
];

test("a config that fits its schema is accepted, as zod does", async () => {
  await using db = await testDatabase();
  for (const value of accepted) {
    await check(db, value, schema);
    assert.ok(configSchema.safeParse(value).success, JSON.stringify(value));
  }
});

test("a config that does not fit is refused, as zod does, with its place and a remedy", async (t) => {
  await using db = await testDatabase();
  for (const [value, message, hint = ""] of refused) {
    await t.test(`${message}: ${JSON.stringify(value)}`, async () => {
      await assert.rejects(check(db, value, schema), (error: Error & { code: string; hint?: string }) => {
        assert.deepEqual([error.message, error.code], [message, "PR001"]);
        assert.ok((error.hint ?? "").includes(hint), error.hint);
        return true;
      });
      assert.equal(configSchema.safeParse(value).success, false);
    });
  }
});

test("a config that is not there is required", async () => {
  await using db = await testDatabase();
  const missing = db.query("select outbox.check_json(null, '{}', 'secrets')");
  await assert.rejects(missing, { message: "secrets: is required", code: "PR001" });
});

test("null may be the constant, or one of the values", async () => {
  await using db = await testDatabase();
  await check(db, null, { enum: ["a", null] });
  await assert.rejects(check(db, [], { enum: ["a", null] }), { message: "config: must be one of a, null" });
  await assert.rejects(check(db, 5, { const: null }), { message: "config: must be null" });
});

test("oneOf wants exactly one form, anyOf at least one", async () => {
  await using db = await testDatabase();
  const forms = [{ type: "number" }, { type: "integer" }];
  await check(db, 5, { anyOf: forms });
  await check(db, 5.5, { oneOf: forms });
  await assert.rejects(check(db, 5, { oneOf: forms }), { message: "config: fits more than one of the allowed forms" });
});

const badSchemas: readonly (readonly [schema: unknown, message: string])[] = [
  [5, "schema: is not an object"],
  [{ type: "string", not: {} }, "schema: unknown keyword not"],
  [{ properties: { a: { multipleOf: 5 } } }, "schema.properties.a: unknown keyword multipleOf"],
  [{ items: { $ref: "#/x" } }, "schema.items: unknown keyword $ref"],
  [{ anyOf: [{}, { allOf: [] }] }, "schema.anyOf[1]: unknown keyword allOf"],
  [{ additionalProperties: { type: "date" } }, 'schema.additionalProperties: unknown type "date"'],
  [{ type: ["string", "date"] }, 'schema: unknown type ["string", "date"]'],
  [{ properties: [] }, "schema: properties must be of type object"],
  [{ items: false }, "schema: items must be of type object"],
  [{ const: {} }, "schema: const must be of type string number boolean null"],
  [{ enum: [] }, "schema: enum is empty"],
  [{ format: "email" }, 'schema: format "email" without a pattern'],
  [
    { propertyNames: { pattern: "\\bx" } },
    'schema.propertyNames: pattern "\\\\bx" may mean something else in Postgres',
  ],
];

test("a schema that would not be honoured in full is refused at registration", async (t) => {
  await using db = await testDatabase();
  await db.query("select outbox.check_json_schema($1)", [JSON.stringify(schema)]);
  for (const [bad, message] of badSchemas) {
    await t.test(message, async () => {
      const refusal = db.query("select outbox.check_json_schema($1)", [JSON.stringify(bad)]);
      await assert.rejects(refusal, { message, code: "XX000" });
    });
  }
});

const portable = [
  "^[a-z][a-z0-9_.-]{0,62}$",
  "^https?:\\/\\/[^/]+$",
  "^(?:[A-Za-z0-9_'+\\-]+\\.)*[A-Za-z]{2,}$",
  "^\\d{4}-\\d\\d$",
  "\\w\\W",
  "^.{2}$",
  "a.*b",
  "^[^.]+$",
  "^(?!x)a|b$",
  "(?<=a)b",
  "^(a|)$",
  "[\\]\\[]",
  "\\u00e9",
  "^\\D+?$",
  "a{,2}",
  "^\\t|\\n$",
];
const subjects = [
  ...[
    "",
    "a",
    "b",
    "ab",
    "a1",
    "x",
    "xa",
    "aab",
    "a.b",
    "a\nb",
    "\n",
    "ab\n",
    "a\rb",
    "a\u2028b",
    "\t",
    "]",
    "[",
    "é",
    "éé",
    "٣",
    "a_",
    "a{,2}",
  ],
  ...["https://a", "https://a/b", "2024-01", "２０２４-01", "jo.x@", "A-b", "ÀB", "a ", " "],
];

test("a pattern means in Postgres what it means in JavaScript", async () => {
  await using db = await testDatabase();
  for (const pattern of portable) {
    const rows = await db.query(
      `select subject.value collate "C" ~ outbox.portable_pattern($1) as matches
       from unnest($2::text[]) with ordinality as subject (value, number)
       order by subject.number`,
      [pattern, subjects],
    );
    const expected = subjects.map((subject) => ({ matches: new RegExp(pattern).test(subject) }));
    assert.deepEqual(rows, expected, pattern);
  }
});

test("a pattern that may mean something else in Postgres is not translated", async () => {
  await using db = await testDatabase();
  const foreign = [
    "\\bx",
    "\\sx",
    "\\x41",
    "\\0",
    "(a)\\1",
    "(?<n>a)",
    "(?i:a)",
    "[]a]",
    "[[:alpha:]]",
    "a]",
    "a{300}",
    "(",
    "\\p{L}",
    "\\cA",
    "\\ud83d",
    "\\ya",
  ];
  for (const pattern of foreign) {
    assert.deepEqual(
      await db.one("select outbox.portable_pattern($1) as pattern", [pattern]),
      { pattern: null },
      pattern,
    );
  }
});
