/** From an insert in one database to a row in another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { destination as postgres } from "../../src/destinations/postgres.ts";
import { testDatabase } from "../support/database.ts";
import { addEvents } from "../support/factory.ts";
import { openInbox } from "../support/inbox.ts";
import { refusalOf } from "../support/refusal.ts";
import { startTestWorker } from "../support/worker.ts";

const create = "select outbox.create_destination('postgres', $1, secrets => $2)";

test("events committed in one database are rows of another's inbox", async () => {
  await using db = await testDatabase();
  await using inbox = await openInbox();
  const [[username], [password]] = [inbox.secrets.username, inbox.secrets.password];
  await db.query(create, [inbox.config, { username, password }]);
  await using _worker = await startTestWorker(db);
  const events = await addEvents(db, 1_200);
  await inbox.db.until("select count(*)::int as n from outbox.inbox", [], ({ n }) => n === events.length);
  await db.until(
    "select count(*)::int as n from outbox.deliveries where status <> 'delivered'",
    [],
    ({ n }) => n === 0,
  );
  const rows = await inbox.rows();
  assert.deepEqual(new Set(rows.map(({ event_id }) => event_id)), new Set(events.map(({ id }) => id)));
  assert.deepEqual(new Set(rows.map(({ source }) => source)), new Set(["/postrider/default"]));
});

test("SQL refuses a postgres destination without a login, or with a port that cannot be", async () => {
  await using db = await testDatabase();
  const config = { host: "db.example.com", database: "billing" };
  const login = { username: "writer", password: "x" };
  assert.match((await refusalOf(db.query(create, [config, { username: "writer" }]))).message, /password/);
  assert.match((await refusalOf(db.query(create, [{ ...config, port: 0 }, login]))).message, /config\.port/);
  await db.query(create, [config, login]);
});

test("what cannot be a host or a certificate is told of before anybody connects", () => {
  const config = { host: "db.example.com", database: "billing" };
  const problemOf = (given: object) => postgres.check?.(postgres.config.parse({ ...config, ...given }));
  assert.equal(problemOf({}), undefined);
  assert.equal(problemOf({ host: "2001:db8::7" }), undefined);
  assert.match(problemOf({ host: "a:b:c" }) ?? "", /^config\.host:/);
  const ca = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
  assert.match(problemOf({ ca }) ?? "", /^config\.ca:/);
});

test("a forbidden address is told of before the first event", async () => {
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db, { config: { allowedNetworks: [] } });
  await db.query(create, [
    { host: "10.0.0.7", database: "billing" },
    { username: "writer", password: "x" },
  ]);
  const { problem } = await db.until("select problem from outbox.destinations where problem is not null");
  assert.match(problem, /POSTRIDER_ALLOW_NETWORKS/);
});
