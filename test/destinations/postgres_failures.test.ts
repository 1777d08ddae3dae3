/** What becomes of events when the receiving database does not take them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as postgres } from "../../src/destinations/postgres.ts";
import { type DeliverOptions, openDestination } from "../support/contract.ts";
import { testServer } from "../support/database.ts";
import { type Inbox, openInbox } from "../support/inbox.ts";

const summaryOf = (outcome: Outcome): string => `${outcome.kind}: ${"code" in outcome ? outcome.code : ""}`;

interface Row {
  readonly name: string;
  readonly expected: string;
  readonly reason?: RegExp;
  /** Done to the receiving database before. */
  readonly sql?: (inbox: Inbox) => string;
  readonly config?: object;
  readonly options?: (inbox: Inbox) => DeliverOptions;
}

/** Raises a SQLSTATE when a row comes. */
const raising = (sqlstate: string) => (): string =>
  `create function public.refuse() returns trigger language plpgsql as
     $$ begin raise exception using errcode = '${sqlstate}', message = 'secret words'; end $$;
   create trigger refuse before insert on outbox.inbox for each row execute function public.refuse()`;

const table: readonly Row[] = [
  {
    name: "a wrong password",
    options: ({ secrets }) => ({ secrets: { ...secrets, password: ["wrong"] } }),
    expected: "retry: auth_failed",
    reason: /28P01/,
  },
  {
    name: "a user that does not exist",
    options: ({ secrets }) => ({ secrets: { ...secrets, username: ["nobody_here"] } }),
    expected: "retry: auth_failed",
  },
  {
    name: "a user who may not insert",
    sql: ({ role }) => `revoke insert on outbox.inbox from ${role}`,
    expected: "retry: auth_failed",
    reason: /42501/,
  },
  { name: "no secrets", options: () => ({ secrets: {} }), expected: "dead: config_invalid" },
  {
    name: "plain text where the operator does not allow it",
    options: ({ secrets }) => ({ secrets, allowHttp: false }),
    expected: "dead: config_invalid",
    reason: /POSTRIDER_ALLOW_HTTP/,
  },
  { name: "a server without TLS", config: { tls: true }, expected: "retry: tls" },
  {
    name: "a database that does not exist",
    config: { database: "nowhere" },
    expected: "retry: not_found",
    reason: /inbox install.*3D000/,
  },
  { name: "a schema that does not exist", config: { schema: "nowhere" }, expected: "retry: not_found" },
  { name: "no table", sql: () => "drop table outbox.inbox", expected: "retry: not_found", reason: /42P01/ },
  { name: "no column", sql: () => "alter table outbox.inbox drop column key", expected: "retry: not_found" },
  {
    name: "a table that would take an event twice",
    sql: () => "alter table outbox.inbox drop constraint inbox_pkey",
    expected: "retry: not_found",
    reason: /42P10/,
  },
  {
    name: "a column of the receiver's own that must not be null",
    sql: () => "alter table outbox.inbox add column tax int not null",
    expected: "dead: rejected",
    reason: /23502/,
  },
  { name: "a trigger that refuses", sql: raising("P0001"), expected: "dead: rejected" },
  { name: "an event that is too large for the server", sql: raising("54000"), expected: "dead: too_large" },
  { name: "a deadlock", sql: raising("40P01"), expected: "retry: unavailable" },
  { name: "a full disk", sql: raising("53100"), expected: "retry: unavailable" },
  { name: "a server that is a copy for reading now", sql: raising("25006"), expected: "retry: unavailable" },
  { name: "a statement that the server broke off", sql: raising("57014"), expected: "retry: timeout" },
  {
    name: "a server that takes no more connections",
    sql: ({ role }) => `alter role ${role} connection limit 0`,
    expected: "retry: unavailable",
    reason: /53300/,
  },
];

for (const { name, expected, reason, sql, config, options } of table) {
  test(`${name} is ${expected}`, async () => {
    await using inbox = await openInbox();
    if (sql !== undefined) await inbox.db.query(sql(inbox));
    const given = options?.(inbox) ?? inbox;
    await using destination = await openDestination(postgres, { ...inbox.config, ...config }, given);
    const outcome = await destination.deliver();
    assert.equal(summaryOf(outcome), expected, JSON.stringify(outcome));
    assert.match("reason" in outcome ? outcome.reason : "", reason ?? /./);
    assert.doesNotMatch(JSON.stringify(outcome), new RegExp(`secret words|nobody_here|${inbox.role}`));
  });
}

test("while a password is changed both are tried, the new one first", async () => {
  await using inbox = await openInbox();
  const [old = ""] = inbox.secrets.password;
  const secrets = { ...inbox.secrets, password: ["the-new-one", old] };
  await using before = await openDestination(postgres, inbox.config, { secrets });
  assert.equal((await before.deliver()).kind, "delivered");
  await inbox.db.query(`alter role ${inbox.role} password 'the-new-one'`);
  await using after = await openDestination(postgres, inbox.config, { secrets });
  assert.equal((await after.deliver()).kind, "delivered");
});

test("a lock that another holds ends with the deadline, the rest waits for nobody, and nothing stays open", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  await using holder = await inbox.db.client();
  const eventId = "01890a5d-ac96-774b-bcce-000000000001";
  await holder.query("begin");
  await holder.query(
    `insert into outbox.inbox (source, event_id, topic, payload, occurred_at)
     values ('/postrider/acme', $1, 'a.b', '{}', now())`,
    [eventId],
  );
  const blocked = destination.deliver({ eventId }, { signal: AbortSignal.timeout(1_500) });
  await inbox.db.until("select from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'", [inbox.role]);
  assert.equal((await destination.deliver()).kind, "delivered");
  const outcome = await blocked;
  assert.deepEqual([summaryOf(outcome), "ours" in outcome && outcome.ours], ["retry: timeout", false]);
  await holder.query("rollback");
  assert.equal((await destination.deliver({ eventId })).kind, "delivered");
});

test("a delivery that waits for a connection ends with its own deadline, not with those before it", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  await using holder = await inbox.db.client();
  await holder.query("begin");
  await holder.query("lock table outbox.inbox in access exclusive mode");
  const stop = new AbortController();
  const before = Array.from({ length: 4 }, () => destination.deliver({}, { signal: stop.signal }));
  const lockedSql = "select count(*)::int as n from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'";
  await inbox.db.until(lockedSql, [inbox.role], ({ n }) => n === 4);
  const waiting = await destination.deliver({}, { signal: AbortSignal.timeout(50) });
  assert.deepEqual([summaryOf(waiting), "ours" in waiting && waiting.ours], ["retry: timeout", false]);
  assert.deepEqual(await inbox.db.one(lockedSql, [inbox.role]), { n: 4 });
  stop.abort();
  for (const outcome of await Promise.all(before)) {
    assert.deepEqual([summaryOf(outcome), "ours" in outcome && outcome.ours], ["retry: timeout", true]);
  }
  await holder.query("rollback");
  assert.equal((await destination.deliver()).kind, "delivered");
});

test("a connection that is cut while it is idle, or in use, costs its own attempts only", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const cut = () =>
    inbox.db.until("select pg_terminate_backend(pid, 5000) as cut from pg_stat_activity where usename = $1", [
      inbox.role,
    ]);
  assert.equal((await destination.deliver()).kind, "delivered");
  await cut();
  await using holder = await inbox.db.client();
  await holder.query("begin");
  await holder.query("lock table outbox.inbox in access exclusive mode");
  const inUse = destination.deliver();
  await inbox.db.until("select from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'", [inbox.role]);
  await cut();
  assert.equal(summaryOf(await inUse), "retry: unavailable");
  await holder.query("rollback");
  assert.equal((await destination.deliver()).kind, "delivered");
});

test("a server that restarts is retried, and delivered to when it is back", async () => {
  await using server = await testServer();
  await using inbox = await openInbox(server);
  await using destination = await openDestination(postgres, inbox.config, inbox);
  assert.equal((await destination.deliver()).kind, "delivered");
  await server.stop();
  assert.match(summaryOf(await destination.deliver()), /^retry: (connect|reset)$/);
  await server.restart();
  assert.equal((await destination.deliver()).kind, "delivered");
});
