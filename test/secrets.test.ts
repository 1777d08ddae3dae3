import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { PostriderError } from "../src/errors.ts";
import { open, parseKeys, type SealedPlace, seal } from "../src/secrets.ts";
import { testDatabase } from "./support/database.ts";
import { addDestination, addEvent } from "./support/factory.ts";
import { startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

const key = (id: string) => ({ id, key: randomBytes(32) });
const place: SealedPlace = { tenantId: "acme", destinationId: "d1", name: "signing_secret", version: 1 };
const [first, second] = [key("k1"), key("k2")];

const unavailable = (message: RegExp) => (error: unknown) =>
  error instanceof PostriderError && error.code === "POSTRIDER_SECRET_UNAVAILABLE" && message.test(error.message);

test("what is sealed opens again, whatever characters it has", () => {
  for (const value of ["whsec_abc", "é😀\n", " ", "x".repeat(10_000)]) {
    assert.equal(open(seal(value, place, first), "k1", place, [second, first]), value);
  }
});

test("a seal shows nothing of the value and is never the same twice", () => {
  const [one, other] = [seal("hunter22", place, first), seal("hunter22", place, first)];
  assert.notEqual(one, other);
  assert.ok(!Buffer.from(one, "base64").includes("hunter22"));
});

const elsewhere: readonly (readonly [what: string, place: SealedPlace])[] = [
  ["another tenant", { ...place, tenantId: "umbrella" }],
  ["another destination", { ...place, destinationId: "d2" }],
  ["another secret", { ...place, name: "legacy_secret" }],
  ["another version", { ...place, version: 2 }],
  ["parts that only look alike when joined", { ...place, tenantId: "acm", destinationId: "ed1" }],
];

for (const [what, other] of elsewhere) {
  test(`a seal that was copied to ${what} does not open`, () => {
    assert.throws(
      () => open(seal("hunter22", place, first), "k1", other, [first]),
      unavailable(/copied from elsewhere/),
    );
  });
}

test("a seal does not open when a bit of it was changed, or with another key of the same name", () => {
  const sealed = Buffer.from(seal("hunter22", place, first), "base64");
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => open(changed.toString("base64"), "k1", place, [first]), unavailable(/does not open/));
  }
  for (const cut of ["", "AAAA", sealed.subarray(0, 20).toString("base64")]) {
    assert.throws(() => open(cut, "k1", place, [first]), unavailable(/does not open/));
  }
  assert.throws(() => open(seal("hunter22", place, first), "k1", place, [key("k1")]), unavailable(/does not open/));
});

test("a key that is not configured is named", () => {
  assert.throws(() => open(seal("x", place, first), "k1", place, [second]), unavailable(/"k1".*POSTRIDER_KEYS/));
});

test("keys are id:base64 of 32 bytes; anything else is refused without being repeated", () => {
  const [a, b] = [randomBytes(32), randomBytes(32)];
  const parsed = parseKeys(` k1:${a.toString("base64")}, k_2:${b.toString("base64")} ,`);
  assert.deepEqual(
    parsed.map(({ id }) => id),
    ["k1", "k_2"],
  );
  assert.deepEqual(parsed[1]?.key, b);
  assert.deepEqual(parseKeys(""), []);
  const short = randomBytes(16).toString("base64");
  for (const text of [short, `k1:${short}`, `:${a.toString("base64")}`, "k1:", `k 1:${a.toString("base64")}`]) {
    assert.throws(
      () => parseKeys(text),
      (error: Error) => /32 bytes/.test(error.message) && !error.message.includes(short),
    );
  }
});

const stored = "select id, value, sealed, key_id from outbox.destination_secrets order by id";

test("a worker with a key seals what SQL wrote, at once, and signs with it", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db, { config: { keys: [first] } });
  const secret = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
  await addDestination(db, { config: { url: receiver.url }, secrets: { signing_secret: secret } });
  const row = await db.until(stored, [], ({ sealed }) => sealed !== null);
  assert.deepEqual([row.value, row.key_id], [null, "k1"]);
  await addEvent(db);
  const { rawBody, headers } = await receiver.next();
  new Webhook(secret).verify(rawBody, headers as Record<string, string>);
});

test("a plain secret that was valid no more before any worker came does not stay", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.rotate_secret($1, '1 millisecond')", [id]);
  assert.equal((await db.query(stored)).length, 2);
  await using _worker = await startTestWorker(db, { config: { keys: [first] } });
  await db.until<{ n: number; plain: number }>(
    "select count(*)::int as n, count(value)::int as plain from outbox.destination_secrets",
    [],
    ({ n, plain }) => n === 1 && plain === 0,
  );
});

test("a secret that comes later, by update or rotation, is sealed too", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await using _worker = await startTestWorker(db, { config: { keys: [first] } });
  await db.query("select outbox.rotate_secret($1)", [id]);
  await db.query('select outbox.update_destination($1, secrets => \'{"legacy_secret": "hunter22"}\')', [id]);
  const allSealed =
    "select count(*) filter (where sealed is null)::int as plain, count(*)::int as n from outbox.destination_secrets";
  assert.deepEqual(await db.until(allSealed, [], ({ plain }) => plain === 0), { plain: 0, n: 3 });
});

test("without a key a secret stays plain, and works", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db);
  await addDestination(db, { config: { url: receiver.url } });
  await db.until("select 1 from outbox.destinations where checked_version = version");
  assert.deepEqual(
    (await db.query(stored)).map(({ sealed }) => sealed),
    [null],
  );
  await addEvent(db);
  await receiver.next();
});

test("a new key seals everything again, what the old one sealed opens meanwhile", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  const { id } = await addDestination(db, { config: { url: receiver.url } });
  const { old } = await db.one("select outbox.rotate_secret($1, interval '0') as old", [id]);
  {
    await using _worker = await startTestWorker(db, { config: { keys: [first] } });
    await db.until(stored, [], ({ sealed }) => sealed !== null);
  }
  await using _worker = await startTestWorker(db, { config: { keys: [second, first] } });
  const { fresh } = await db.one("select outbox.rotate_secret($1) as fresh", [id]);
  await db.until(
    `select array_agg(key_id order by id) as ids from outbox.destination_secrets`,
    [],
    ({ ids }) => ids.join() === "k2,k2",
  );
  await addEvent(db);
  const { rawBody, headers } = await receiver.next();
  for (const secret of [old, fresh]) new Webhook(secret).verify(rawBody, headers as Record<string, string>);
});

test("a secret that cannot be opened uses up no attempt, and is said before an event shows it", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, policy: { schedule_seconds: [] } });
  {
    await using _worker = await startTestWorker(db, { config: { keys: [first] } });
    await db.until(stored, [], ({ sealed }) => sealed !== null);
  }
  await db.query('update outbox.destinations set config = config || \'{"method": "PUT"}\'');
  await using _worker = await startTestWorker(db, { config: { keys: [second] } });
  const { problem } = await db.until("select problem from outbox.destinations where problem is not null");
  assert.match(problem, /"k1".*POSTRIDER_KEYS/);
  await addEvent(db);
  const delivery = await db.until(
    "select status::text, failure_count, error_code from outbox.deliveries where error_code is not null",
  );
  assert.deepEqual(delivery, { status: "pending", failure_count: 0, error_code: "secret_unavailable" });
  assert.equal(receiver.count, 0);
});
