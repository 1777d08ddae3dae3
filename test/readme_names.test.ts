/** What the README, and the docker-compose.yml beside it, point to is there. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "./support/command.ts";
import { testDatabase } from "./support/database.ts";
import { block, codeIn, environmentNames, passage, prose, readme, root } from "./support/readme.ts";

test("whatever the README names in the schema outbox is there", async () => {
  const names = new Set([...readme.matchAll(/\boutbox\.(\w+)/g)].map(([, name = ""]) => name));
  const settings = ["fan_out", "payload_bytes_max"];
  const elsewhere = ["inbox"];
  await using db = await testDatabase();
  const found = await db.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'outbox'::regnamespace
     union select proname from pg_proc where pronamespace = 'outbox'::regnamespace`,
  );
  const known = new Set([...settings, ...elsewhere, ...found.map(({ name }) => name)]);
  assert.deepEqual(
    [...names].filter((name) => !known.has(name)),
    [],
  );
});

test("whatever the README points to is there", () => {
  const paths = [...readme.matchAll(/\b(?:src|sql|test)\/[\w./-]*\w\/?/g)].map(([path]) => path);
  assert.ok(paths.length > 5);
  assert.deepEqual(
    paths.filter((path) => !existsSync(join(root, path))),
    [],
  );
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) => text.toLowerCase().replaceAll(" ", "-"));
  const anchors = [...prose.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = ""]) => anchor);
  assert.deepEqual(
    anchors.filter((anchor) => !headings.includes(anchor)),
    [],
  );
});

test("the README's statuses and outcomes are those of the database", async () => {
  await using db = await testDatabase();
  const labels = async (type: string) =>
    (await db.query<{ label: string }>(`select unnest(enum_range(null::outbox.${type}))::text as label`)).map(
      ({ label }) => label,
    );
  const listed = (word: string) => codeIn(readme.split("\n").find((line) => line.startsWith(`| **${word}**`)) ?? "");
  assert.deepEqual(listed("status"), await labels("delivery_status"));
  assert.deepEqual(listed("outcome"), await labels("attempt_outcome"));
  const drawn = [...block("mermaid").matchAll(/^ {2}(\w+|\[\*\]) --> (\w+)/gm)].flatMap(([, from, to]) => [from, to]);
  const states = new Set(drawn.filter((state) => state !== "[*]"));
  assert.deepEqual(states, new Set(await labels("delivery_status")));
});

test("the views to look at are all the views; the functions to look with take an event_id", async () => {
  await using db = await testDatabase();
  const looking = passage(/^\*\*Looking\.\*\*[\s\S]*?are functions\.$/m);
  const [views = "", functions = ""] = looking.split("are views;");
  const found = await db.query("select viewname from pg_views where schemaname = 'outbox' order by 1");
  assert.deepEqual(new Set(codeIn(views)), new Set(found.map(({ viewname }) => `outbox.${viewname}`)));
  assert.equal(codeIn(functions).length, 2);
  for (const call of codeIn(functions))
    await db.query(`select ${call.replace("event_id", "event_id => gen_random_uuid()")}`);
});

test("the roles that can be granted are all that there are", async () => {
  await using db = await testDatabase();
  const found = await db.query(
    "select proname from pg_proc where pronamespace = 'outbox'::regnamespace and proargnames = '{role_name}' order by 1",
  );
  const roles = passage(/^\*\*Roles\.\*\*[\s\S]*?\n\n/m).matchAll(/grant_\w+/g);
  assert.deepEqual(new Set([...roles].map(([name]) => name)), new Set(found.map(({ proname }) => proname)));
});

/** The commands of the command line. */
const commands = async (): Promise<string[]> => {
  const { stdout } = await runCommand(["--help"]);
  return [...stdout.matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name = ""]) => name);
};

test("the README shows each command that there is", async () => {
  const named = [...readme.matchAll(/(?:postrider|npm run) (\w+)/g)].map(([, name = ""]) => name);
  assert.deepEqual(
    (await commands()).filter((name) => !named.includes(name)),
    [],
  );
});

const compose = readFileSync(join(root, "docker-compose.yml"), "utf8");
const composed = (pattern: RegExp): string[] => [...compose.matchAll(pattern)].map(([, word = ""]) => word);

test("docker-compose.yml runs commands that there are, with variables that they know", async () => {
  const known = await commands();
  const run = composed(/src\/launch\.mjs (\w+)/g);
  assert.deepEqual(run, ["migrate", "work"]);
  assert.ok(run.every((name) => known.includes(name)));
  const [, environment = ""] = /environment: &environment\n((?: {6}\w.*\n)+)/.exec(compose) ?? [];
  const variables = [...environment.matchAll(/^ +(\w+):/gm)].map(([, name = ""]) => name);
  assert.deepEqual(variables, ["DATABASE_URL", "POSTRIDER_KEYS"]);
  assert.ok(variables.every((name) => environmentNames.includes(name)));
});

test("docker-compose.yml brings a Postgres and a Node that are new enough, and all URLs lead to that Postgres", () => {
  const { engines, scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.deepEqual(
    composed(/image: node:(\d+)/g).map((major) => `>=${major}`),
    [engines.node, engines.node],
  );
  const [, postgresMin] = /Postgres (\d+) or newer/.exec(prose) ?? [];
  assert.ok(composed(/image: postgres:(\d+)/g).every((major) => Number(major) >= Number(postgresMin)));
  const [user, password, database] = ["USER", "PASSWORD", "DB"].flatMap((name) =>
    composed(new RegExp(`POSTGRES_${name}: (\\w+)`, "g")),
  );
  const [port] = composed(/127\.0\.0\.1:\$\{POSTGRES_PORT:-(\d+)\}:5432/g);
  assert.deepEqual(composed(/(postgres:\/\/\S+)/g), [
    `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    `postgres://${user}:${password}@postgres:5432/${database}`,
  ]);
  for (const script of composed(/npm run ([\w:]+)/g)) assert.ok(script in scripts, script);
});
