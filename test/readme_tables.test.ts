/** The README's tables are complete, and true. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../src/config.ts";
import { failureCodes } from "../src/destination.ts";
import { builtInTypes, createRegistry, describeType } from "../src/registry.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { addDestination, addEvent } from "./support/factory.ts";
import { codeIn, environmentNames, passage, root, table } from "./support/readme.ts";
import { refusalOf } from "./support/refusal.ts";

/** The first word in code type of each row, with the row's other cells. */
const named = (rows: string[][]): (readonly [name: string, ...cells: string[]])[] =>
  rows.map(([first = "", ...cells]) => [codeIn(first)[0] ?? "", ...cells]);
const namesOf = (rows: readonly (readonly string[])[]): string[] => rows.map(([name = ""]) => name);
/** What a cell that is nothing but code says. */
const codeOf = (cell: string): string | undefined => /^`([^`]+)`$/.exec(cell)?.[1];

test("the table of environment variables has them all, with their defaults and examples that are understood", () => {
  const rows = named(table("environment", "default", ""));
  assert.deepEqual(namesOf(rows), environmentNames);
  const defaults = rows.flatMap(([name, cell = ""]) => {
    const value = codeOf(cell);
    return value === undefined ? [] : [[name, value]];
  });
  assert.equal(defaults.length, 5);
  assert.deepEqual(readConfig(Object.fromEntries(defaults)), readConfig({}));
  const words = Object.fromEntries(rows.map(([name, , text = ""]) => [name, codeIn(text)]));
  const POSTRIDER_KEYS = words.POSTRIDER_KEYS?.[1]?.replace(
    "$(openssl rand -base64 32)",
    randomBytes(32).toString("base64"),
  );
  const POSTRIDER_ALLOW_NETWORKS = words.POSTRIDER_ALLOW_NETWORKS?.[0];
  const config = readConfig({ POSTRIDER_KEYS, POSTRIDER_ALLOW_NETWORKS });
  assert.deepEqual([config.keys.length, config.allowedNetworks.length], [1, 2]);
});

test("the table of events has each column that a producer may set, with its default", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("begin; create role readme_producer; select outbox.grant_producer('readme_producer')");
  const { rows } = await client.query(
    `select a.attname as name, pg_get_expr(d.adbin, d.adrelid) as default
     from pg_attribute as a left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = 'outbox.events'::regclass and a.attnum > 0 and not a.attisdropped
     and has_column_privilege('readme_producer', a.attrelid, a.attnum, 'insert')`,
  );
  await client.query("rollback");
  const defaults = Object.fromEntries(rows.map((row) => [row.name, row.default]));
  const listed = named(table("column", "default", ""));
  assert.deepEqual(new Set(namesOf(listed)), new Set(Object.keys(defaults)));
  const written: Record<string, string | null> = { "": null, "`default`": "'default'::text", now: "clock_timestamp()" };
  for (const [name, cell = ""] of listed) assert.equal(defaults[name], written[cell], name);
});

test("the table of management functions has them all, with their arguments; each takes an actor", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query(
    `begin; create role readme_operator; select outbox.grant_operator('readme_operator');
     create role readme_inspector; select outbox.grant_inspector('readme_inspector')`,
  );
  const { rows } = await client.query<{ name: string; args: string[] }>(
    `select p.proname as name, p.proargnames[1:p.pronargs] as args from pg_proc as p
     where p.pronamespace = 'outbox'::regnamespace and has_function_privilege('readme_operator', p.oid, 'execute')
     and not has_function_privilege('readme_inspector', p.oid, 'execute') and p.proargnames @> '{actor}'`,
  );
  await client.query("rollback");
  const real = rows.map(({ name, args }) => `${name}(${args.filter((arg) => arg !== "actor").join(", ")})`);
  const listed = table("function", "does").flatMap(([first = ""]) => codeIn(first));
  assert.deepEqual(new Set(listed), new Set(real));
});

interface Field {
  readonly default?: unknown;
  readonly enum?: readonly string[];
}

test("the table of a webhook's config has each field, its default and its choices; the text names each secret", async () => {
  await using db = await testDatabase();
  const { config, secrets } = await db.one<Record<"config" | "secrets", { properties: Record<string, Field> }>>(
    "select config_schema as config, secrets_schema as secrets from outbox.destination_types where name = 'webhook'",
  );
  const listed = named(table("config", "default", ""));
  assert.deepEqual(new Set(namesOf(listed)), new Set(Object.keys(config.properties)));
  for (const [name, cell = "", text = ""] of listed) {
    const field = config.properties[name];
    assert.equal(codeOf(cell), typeof field?.default === "string" ? field.default : undefined, name);
    for (const choice of field?.enum ?? []) assert.ok(codeIn(cell + text).includes(choice), choice);
  }
  const text = listed.flat().join(" ") + passage(/^Requests are signed as[\s\S]*?\n\n/m);
  for (const name of Object.keys(secrets.properties)) assert.ok(codeIn(text).includes(name), name);
});

const otherTypes = (await builtInTypes()).map(({ type }) => type).filter((type) => type !== "webhook");

for (const type of otherTypes) {
  test(`the table of ${type} has each field of its config, and its text names each secret`, async () => {
    const { configSchema, secretsSchema } = describeType((await createRegistry()).get(type));
    const fields = table(type, "default", "").flatMap(([cell = ""]) => codeIn(cell));
    assert.deepEqual(new Set(fields), new Set(Object.keys(configSchema.properties ?? {})));
    const told =
      type === "eventbridge"
        ? passage(/^#### Amazon SQS[\s\S]*?\n####/m)
        : passage(new RegExp(`^\\| ${type} \\| default[\\s\\S]*?\n###`, "m"));
    for (const name of Object.keys(secretsSchema.properties ?? {})) assert.ok(codeIn(told).includes(name), name);
  });
}

test("the table of types has them all", async () => {
  const names = table("type", "protocol and client", "sent together", "tested against").flatMap(([cell = ""]) =>
    codeIn(cell),
  );
  assert.deepEqual(new Set(names), new Set((await builtInTypes()).map(({ type }) => type)));
});

test("the table of the delivery policy has each field with its default", async () => {
  await using db = await testDatabase();
  const check = (policy: object) => db.query("select outbox.check_policy($1)", [JSON.stringify(policy)]);
  const listed = named(table("field", "default", ""));
  const { hint } = await refusalOf(check({ other: 1 }));
  assert.deepEqual(new Set(hint.replace("Known fields: ", "").split(", ")), new Set(namesOf(listed)));
  const defaults = listed.flatMap(([name, cell = ""]) => (cell === "" ? [] : [[name, JSON.parse(codeOf(cell) ?? "")]]));
  const { policy } = await db.one("select outbox.default_policy() as policy");
  assert.deepEqual(Object.fromEntries(defaults), policy);

  const text = Object.fromEntries(listed.map(([name, , meaning = ""]) => [name, meaning]));
  const hours = policy.schedule_seconds.reduce((sum: number, seconds: number) => sum + seconds) / 3600;
  assert.match(text.schedule_seconds ?? "", new RegExp(`ten attempts over ${Math.floor(hours)} h`));
  assert.equal(policy.schedule_seconds.length + 1, 10);
  const exponential = [...(text.exponential ?? "").matchAll(/"(\w+)"/g)].map(([, name = ""]) => [name, 2] as const);
  await check({ exponential: Object.fromEntries(exponential) });
  for (const missing of exponential) {
    const rest = exponential.filter((field) => field !== missing);
    await refusalOf(check({ exponential: Object.fromEntries(rest) }));
  }
});

test("the table of what happens has each code of a failure, and no other", () => {
  const codes = table("what happens", "outcome", "code").flatMap(([, , code = ""]) => codeIn(code));
  assert.deepEqual(new Set(codes), new Set(failureCodes));
});

test("the table of remedies has each code of a failure, and what outbox.remedy says of it", async () => {
  await using db = await testDatabase();
  const listed = named(table("code of the last error", "what to do (`outbox.remedy(code)`)"));
  assert.deepEqual(new Set(namesOf(listed)), new Set([...failureCodes, "expired", "poison"]));
  for (const [code, remedy] of listed)
    assert.deepEqual(await db.one("select outbox.remedy($1) as remedy", [code]), { remedy });
});

test("the table of alerts has each kind, with the fields of the policy and their defaults", async () => {
  await using db = await testDatabase();
  const rows = table("kind", "tells that", "severity", "policy `alerts`");
  const { comment } = await db.one(
    `select col_description('outbox.alerts'::regclass, attnum) as comment from pg_attribute
     where attrelid = 'outbox.alerts'::regclass and attname = 'kind'`,
  );
  const kinds = namesOf(named(rows));
  assert.deepEqual(new Set(comment.match(/\w+_\w+|backlog|poison/g)), new Set(kinds));
  const fields = rows.flatMap(([, , , cell = ""]) => [...cell.matchAll(/`(\w+)`: ([\d.]+)/g)]);
  const { alerts } = await db.one("select outbox.default_policy() -> 'alerts' as alerts");
  assert.deepEqual(Object.fromEntries(fields.map(([, name, value]) => [name, Number(value)])), alerts);
});

/** The code that a delivery ends with when this is done to it. */
const endedBy = async (db: TestDatabase, sql: string): Promise<string> => {
  const { id, subscriptionId } = await addDestination(db);
  const event = await addEvent(db);
  const ids: Record<string, string> = { destination: id, subscription: subscriptionId, event: event.id };
  await db.query(sql.replace(/:(\w+)/, (_, name: string) => `'${ids[name]}'`));
  const ended = await db.one(
    "select status, error_code from outbox.deliveries where event_id = $1 and subscription_id = $2",
    [event.id, subscriptionId],
  );
  assert.equal(ended.status, "cancelled");
  return ended.error_code;
};

test("the codes of deliveries that people end are those that the README names", async () => {
  await using db = await testDatabase();
  const codes = [
    await endedBy(db, "select outbox.delete_subscription(:subscription)"),
    await endedBy(db, "select outbox.delete_destination(:destination)"),
    await endedBy(db, "select outbox.cancel(:event)"),
  ];
  assert.deepEqual(codeIn(passage(/Deliveries end further as [^.]*\./)), codes);
});

test("the table of SQLSTATEs is that of sql/", () => {
  const files = readdirSync(join(root, "sql"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".sql"),
  );
  const text = files.map((name) => readFileSync(join(root, "sql", name), "utf8")).join("\n");
  const raised = new Set([...text.matchAll(/errcode = '(PR\d{3})'/g)].map(([, state = ""]) => state));
  assert.deepEqual(new Set(namesOf(named(table("SQLSTATE", "means")))), raised);
});
