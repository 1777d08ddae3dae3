import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../src/config.ts";
import { triggers } from "../src/doctor/schema.ts";
import { checkNames, examine } from "../src/doctor.ts";
import { listOldTransactions } from "../src/queries/server.ts";
import { ailments } from "./support/ailments.ts";
import { runCommand } from "./support/command.ts";
import { type TestDatabase, testDatabase, testServer } from "./support/database.ts";
import { codeIn, table } from "./support/readme.ts";
import { startTestWorker } from "./support/worker.ts";

/** What a check finds, apart from what is well. */
const diagnose = async (db: TestDatabase, check: string, env: NodeJS.ProcessEnv = {}) => {
  const diagnoses = await examine({ connectionString: db.url, config: readConfig(env) });
  assert.ok(diagnoses.some((diagnosis) => diagnosis.check === check));
  return diagnoses.filter((diagnosis) => diagnosis.check === check && diagnosis.level !== "ok");
};

for (const { check, finds, level, message, given, env, mends } of ailments) {
  test(`the doctor finds ${finds}`, async () => {
    await using db = await testDatabase();
    await given(db);
    const found = (await diagnose(db, check, env)).find((finding) => message.test(finding.message));
    assert.equal(found?.level, level, JSON.stringify(await diagnose(db, check, env)));
    if (mends !== true) return;
    for (const statement of (found?.remedy ?? "").split(/(?<=;)/)) await db.query(statement);
    assert.deepEqual(await diagnose(db, check, env), []);
  });
}

test("the doctor's list of triggers is that of a migrated database", async () => {
  await using db = await testDatabase();
  const found = await db.query(
    `select c.relname || '.' || t.tgname as name
     from pg_trigger as t
     join pg_class as c on c.oid = t.tgrelid
     where c.relnamespace = 'outbox'::regnamespace and not t.tgisinternal and t.tgparentid = 0
     order by 1`,
  );
  assert.deepEqual(
    found.map(({ name }) => name),
    Object.keys(triggers),
  );
});

test("a transaction that stays open is found, with what ends it", async () => {
  await using db = await testDatabase();
  await using idle = await db.client();
  await idle.query("set application_name = 'cash desk'");
  await idle.query("begin");
  await using doctor = await db.client();
  const [old] = await listOldTransactions(doctor, 0);
  assert.match(old?.what ?? "", /^pid \d+ \(idle in transaction\), role \w+, cash desk, 127\.0\.0\.1(\/32)?$/);
  await doctor.query(old?.end ?? "");
  await db.until(
    "select count(*)::int as n from pg_stat_activity where state = 'idle in transaction'",
    [],
    ({ n }) => n === 0,
  );
  assert.deepEqual(await listOldTransactions(doctor, 0), []);
});

test("an empty database, and one that does not answer, are problems and not errors", async () => {
  await using db = await testDatabase({ migrated: false });
  const empty = await runCommand(["doctor", "--database-url", db.url]);
  assert.equal(empty.code, 1);
  assert.match(empty.stdout, /^problem +migrations +the database lacks \d+ changes, .*\n +> postrider migrate$/m);
  const silent = await runCommand(["doctor", "--database-url", "postgres://127.0.0.1:1/none"]);
  assert.equal(silent.code, 1);
  assert.match(silent.stdout, /^problem +server +the database does not answer/);
});

test("an encoding that is not UTF8 is a problem", async () => {
  await using db = await testDatabase({ migrated: false });
  const { name } = await db.one<{ name: string }>("select current_database() || '_latin' as name");
  await db.query(`create database ${name} encoding 'LATIN1' template template0 locale 'C' locale_provider libc`);
  const url = new URL(db.url);
  url.pathname = `/${name}`;
  const diagnoses = await examine({ connectionString: url.href, config: readConfig({}) });
  await db.query(`drop database ${name}`);
  assert.equal(diagnoses.find(({ check }) => check === "server")?.level, "problem");
});

test("who may not look is told so, check by check", async () => {
  await using db = await testDatabase();
  const role = `${db.url.split("/").at(-1)}_inspector`;
  await db.query(`create role ${role} login password 'secret'`);
  await db.query("select outbox.grant_inspector($1)", [role]);
  const url = Object.assign(new URL(db.url), { username: role, password: "secret" });
  const diagnoses = await examine({ connectionString: url.href, config: readConfig({}) });
  await db.query(`drop owned by ${role}`);
  await db.query(`drop role ${role}`);
  const denied = diagnoses.filter(({ message }) => message.startsWith("cannot look"));
  assert.ok(denied.length > 0);
  assert.ok(denied.every(({ level, remedy }) => level === "warning" && remedy?.includes("owner")));
  assert.ok(diagnoses.some(({ check, level }) => check === "triggers" && level === "ok"));
});

test("doctor --json is for machines", async () => {
  await using db = await testDatabase();
  const { code, stdout } = await runCommand(["doctor", "--json"], { env: { DATABASE_URL: db.url } });
  const { healthy, findings } = JSON.parse(stdout);
  assert.equal(healthy, false);
  assert.equal(code, 1);
  const workers = findings.find(({ check }: { check: string }) => check === "workers");
  assert.deepEqual(workers, {
    check: "workers",
    level: "problem",
    message: "no worker is running: nothing is delivered",
    remedy: "postrider work",
  });
});

test("the README's table of checks has them all, in their order", () => {
  assert.deepEqual(
    table("check", "looks at").flatMap(([name = ""]) => codeIn(name)),
    checkNames,
  );
});

test("doctor exits with 0 unless there is a problem; a warning counts if it is to be strict", async () => {
  await using server = await testServer({ durable: true });
  await using db = await testDatabase({ server });
  await using _worker = await startTestWorker(db);
  const exitOf = async (...flags: string[]) =>
    (await runCommand(["doctor", ...flags], { env: { DATABASE_URL: db.url } })).code;
  assert.deepEqual([await exitOf(), await exitOf("--strict")], [0, 1]);
  await db.query("alter table outbox.events disable trigger _500_fan_out");
  assert.deepEqual([await exitOf(), await exitOf("--strict", "--json")], [1, 1]);
});
