import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ended, runCommand, startCommand } from "./support/command.ts";
import { testDatabase } from "./support/database.ts";
import { startReceiver } from "./support/receiver.ts";

const key = `k1:${Buffer.alloc(32, 7).toString("base64")}`;
const stopMsMax = 12_000;

const usage = [
  { args: ["--help"], code: 0, stdout: /^Usage: postrider/ },
  { args: ["--version"], code: 0, stdout: /^\d+\.\d+\.\d+\n$/ },
  { args: [], code: 2, stderr: /^Usage: postrider/ },
  { args: ["deliver"], code: 2, stderr: /^postrider: unknown command 'deliver'\n$/ },
  { args: ["migrate", "--dryrun"], code: 2, stderr: /^postrider: unknown option '--dryrun'\n.*--dry-run/ },
  { args: ["dev", "--port", "http"], code: 2, stderr: /from 1 to 65535/ },
  { args: ["secret"], code: 2, stderr: /missing required argument 'destination-id'/ },
  { args: ["secret", "erp"], code: 2, stderr: /not the id of a destination/ },
];
for (const { args, code, stdout, stderr } of usage) {
  test(`postrider ${args.join(" ")} exits with ${code}`, async () => {
    const ended = await runCommand(args);
    assert.equal(ended.code, code, ended.stderr);
    if (stdout !== undefined) assert.match(ended.stdout, stdout);
    if (stderr !== undefined) assert.match(ended.stderr, stderr);
  });
}

test("each command explains itself with an example", async () => {
  for (const name of ["demo", "dev", "migrate", "work", "doctor", "secret"]) {
    const { code, stdout } = await runCommand([name, "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: postrider ${name}.*Example:\\n {2}\\$ .*postrider ${name}`, "s"), name);
  }
});

const oneLine = (ended: Ended, text: RegExp) => {
  assert.equal(ended.code, 1, ended.stderr);
  assert.equal(ended.stderr.trim().split("\n").length, 1, ended.stderr);
  assert.match(ended.stderr, text);
};

test("an error is one line with its code; its stack is shown only when debugging", async () => {
  oneLine(await runCommand(["work"]), /^postrider: .*DATABASE_URL.* \[POSTRIDER_DATABASE_URL_MISSING\]$/m);
  const url = "postgres://127.0.0.1:1/none";
  oneLine(await runCommand(["migrate", "--database-url", url]), /^postrider: .*\[POSTRIDER_DATABASE_UNREACHABLE\]$/m);
  oneLine(
    await runCommand(["work", "--database-url", url], { env: { POSTRIDER_KEYS: "k" } }),
    /POSTRIDER_KEYS: .*_INVALID/,
  );
  const debugging = await runCommand(["migrate"], { env: { DATABASE_URL: url, POSTRIDER_LOG_LEVEL: "debug" } });
  assert.match(debugging.stderr, /\n +at /);
});

test("migrate tells what is missing, applies it, and has nothing to do the second time", async () => {
  await using db = await testDatabase({ migrated: false });
  const migrate = (...args: string[]) => runCommand(["migrate", ...args], { env: { DATABASE_URL: db.url } });
  const dry = await migrate("--dry-run");
  assert.match(
    dry.stdout,
    /^migrations\/0001_foundations\.sql\n.*\nviews\/pending\.sql\n.*\d+ changes would be applied\.\n$/s,
  );
  assert.equal(dry.code, 0);
  const behind = await migrate("--check");
  assert.match(behind.stdout, /^functions\/fan_out\.sql$/m);
  assert.match(behind.stderr, /lacks \d+ changes, .*postrider migrate \[POSTRIDER_DATABASE_BEHIND\]/);
  assert.equal(behind.code, 1);
  assert.deepEqual(await db.query("select from pg_namespace where nspname = 'outbox'"), []);

  const first = await migrate();
  assert.equal(first.stdout, dry.stdout.replace("would be applied.\n", "").replace(/(\d+ changes) $/, "Applied $1.\n"));
  for (const args of [[], ["--dry-run"], ["--check"]]) {
    assert.deepEqual(await migrate(...args), {
      code: 0,
      signal: null,
      stdout: "The database is up to date.\n",
      stderr: "",
    });
  }
});

test("migrate --check names the function that was not applied", async () => {
  await using db = await testDatabase();
  await db.query("update outbox.applied_files set checksum = 'old' where path = 'functions/wake.sql'");
  const { code, stdout, stderr } = await runCommand(["migrate", "--check", "--database-url", db.url]);
  assert.equal(code, 1);
  assert.equal(stdout, "functions/wake.sql\n");
  assert.match(stderr, /lacks 1 change, /);
});

/** A worker that stops listens no more. */
const listeners =
  "(select count(*)::int from pg_stat_activity where datname = current_database() and query ilike 'listen %')";

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`work delivers until ${signal}, lets what is being sent end, and leaves nothing locked`, async () => {
    await using db = await testDatabase();
    await using receiver = await startReceiver();
    const release = Promise.withResolvers<number>();
    receiver.respondWith(() => release.promise);
    await db.query("select outbox.create_destination(type => 'webhook', config => $1)", [{ url: receiver.url }]);
    const env = { DATABASE_URL: db.url, POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };
    await using work = startCommand(["work"], { env });
    await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
    await receiver.waitFor(1);
    await db.until(`select ${listeners} as n`, [], ({ n }) => n === 1);

    const askedAt = Date.now();
    work.child.kill(signal);
    await db.until(`select ${listeners} as n`, [], ({ n }) => n === 0);
    release.resolve(200);
    const { code, stdout } = await work.ended;
    assert.equal(code, 0, stdout);
    assert.ok(Date.now() - askedAt < stopMsMax);
    assert.deepEqual(await db.lockedJobs(), []);
    assert.deepEqual(await db.query("select status from outbox.deliveries"), [{ status: "delivered" }]);
    assert.deepEqual(await db.query("select from outbox.workers"), []);
  });
}

test("a second signal ends work at once", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver({ respond: () => "open" });
  await db.query("select outbox.create_destination(type => 'webhook', config => $1)", [{ url: receiver.url }]);
  const env = { DATABASE_URL: db.url, POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };
  await using work = startCommand(["work"], { env });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  await receiver.waitFor(1);
  const askedAt = Date.now();
  work.child.kill("SIGTERM");
  work.child.kill("SIGINT");
  const { code } = await work.ended;
  assert.ok(code === 143 || code === 130, String(code));
  assert.ok(Date.now() - askedAt < 5_000);
});

test("secret shows a generated secret, plain or sealed, and both during a rotation", async () => {
  await using db = await testDatabase();
  const { id } = await db.one<{ id: string }>(
    `select outbox.create_destination(type => 'webhook', config => '{"url": "https://example.com/"}') as id`,
  );
  const { value } = await db.one<{ value: string }>("select value from outbox.destination_secrets");
  const secret = (...args: string[]) =>
    runCommand(["secret", id, ...args], { env: { DATABASE_URL: db.url, POSTRIDER_KEYS: key } });
  assert.equal((await secret("--name", "signing_secret")).stdout, `${value}\n`);

  await using work = startCommand(["work"], { env: { DATABASE_URL: db.url, POSTRIDER_KEYS: key } });
  await db.until("select from outbox.destination_secrets where sealed is not null and value is null");
  assert.equal((await secret("--name", "signing_secret")).stdout, `${value}\n`);
  const { rotated } = await db.one<{ rotated: string }>("select outbox.rotate_secret($1) as rotated", [id]);
  const { stdout } = await secret();
  assert.ok(stdout.indexOf(rotated) > 0 && stdout.indexOf(value) > stdout.indexOf(rotated), stdout);

  await db.until(
    "select count(*)::int as n from outbox.destination_secrets where sealed is not null",
    [],
    ({ n }) => n === 2,
  );
  work.child.kill("SIGTERM");
  oneLine(await runCommand(["secret", id, "--database-url", db.url]), /\[POSTRIDER_SECRET_UNAVAILABLE\]$/m);
  const unknown = "019a8a5e-35f0-7c2b-9d9e-0d5a3f0c5a11";
  oneLine(await runCommand(["secret", unknown, "--database-url", db.url]), /\[POSTRIDER_DESTINATION_UNKNOWN\]$/m);
  await work.ended;
});
