/** What the inbox in another Postgres gets, and that it gets it once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { destination as postgres } from "../../src/destinations/postgres.ts";
import { messageOf, openDestination, testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";
import { openInbox } from "../support/inbox.ts";

const idOf = (n: number): string => `01890a5d-ac96-774b-bcce-${String(n).padStart(12, "0")}`;

testDestination(postgres, async () => {
  const inbox = await openInbox();
  const seen = new Set<string>();
  const { config } = inbox;
  const next = async () => {
    const sql = "select event_id, topic, payload::text from outbox.inbox where event_id <> all ($1) limit 1";
    const { event_id, topic, payload } = await inbox.db.until(sql, [[...seen]]);
    seen.add(event_id);
    return { payload, topic, id: event_id };
  };
  let turn = Promise.resolve<unknown>(undefined);
  return {
    config,
    secrets: inbox.secrets,
    next: () => {
      const mine = turn.then(next);
      turn = mine;
      return mine;
    },
    openConnections: inbox.connections,
    forward: () => startForwarder(config.port),
    configAt: (port) => ({ ...config, port }),
    badConfigs: {
      host: { ...config, host: "db.example/../x" },
      port: { ...config, port: 70_000 },
      database: { ...config, database: "" },
      tls: { ...config, tls: "no" },
      ca: { ...config, ca: "none" },
      schema: { ...config, schema: 'a"; drop table x' },
      source: { ...config, source: "" },
      user: { ...config, user: "x" },
    },
    [Symbol.asyncDispose]: () => inbox[Symbol.asyncDispose](),
  };
});

test("every part of an event has its column", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const message = messageOf({ key: 'order "7", {8}\\', headers: { "x-shop": 'ä, "b"' }, traceparent, tenantId: "a b" });
  assert.equal((await destination.deliver(message)).kind, "delivered");
  assert.deepEqual(await inbox.rows(), [
    {
      source: "/postrider/a%20b",
      event_id: message.eventId,
      topic: message.topic,
      key: message.key,
      payload: "{}",
      headers: { ...message.headers, traceparent },
      occurred_at: message.occurredAt,
    },
  ]);
});

test("source and schema are those of the config", async () => {
  await using inbox = await openInbox();
  await inbox.db.query("alter schema outbox rename to billing_in");
  const config = { ...inbox.config, schema: "billing_in", source: "https://shop.example/" };
  await using destination = await openDestination(postgres, config, inbox);
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual(await inbox.db.query("select source from billing_in.inbox"), [{ source: "https://shop.example/" }]);
});

test("a second copy of an event has no effect, in the same batch, at the same time, and after a consumer was done", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const messages = [1, 2, 3, 1].map((n) => ({ eventId: idOf(n) }));
  const batches = await Promise.all(
    [messages, messages.toReversed(), messages].map((each) => destination.deliverBatch(each)),
  );
  assert.deepEqual(new Set(batches.flat().map(({ kind }) => kind)), new Set(["delivered"]));
  await inbox.db.query("update outbox.inbox set processed_at = now()");
  assert.equal((await destination.deliver({ eventId: idOf(1), payload: '"other"' })).kind, "delivered");
  const rows = await inbox.db.query("select event_id, payload::text from outbox.inbox where processed_at is not null");
  assert.equal(rows.length, 3);
  assert.deepEqual(new Set(rows.map(({ event_id }) => event_id)), new Set([1, 2, 3].map(idOf)));
  assert.deepEqual(new Set(rows.map(({ payload }) => payload)), new Set(["{}"]));
});

test("a batch is one statement, over one connection that stays", async () => {
  await using inbox = await openInbox();
  await inbox.db.query(`create table public.statements (n bigserial);
    grant insert on public.statements to ${inbox.role}; grant usage on sequence public.statements_n_seq to ${inbox.role};
    create function public.tell() returns trigger language plpgsql as
      'begin insert into public.statements default values; return null; end';
    create trigger tell after insert on outbox.inbox for each statement execute function public.tell()`);
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const outcomes = await destination.deliverBatch(Array.from({ length: 500 }, (_, n) => ({ eventId: idOf(n) })));
  assert.deepEqual([outcomes.length, new Set(outcomes.map(({ kind }) => kind))], [500, new Set(["delivered"])]);
  assert.equal((await inbox.rows()).length, 500);
  assert.deepEqual(await inbox.db.query("select count(*)::int as n from public.statements"), [{ n: 1 }]);
  await destination.deliver({ eventId: idOf(501) });
  assert.equal(await inbox.connections(), 1);
});

test("there are at most four connections, however many deliveries there are at once", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  await Promise.all(Array.from({ length: 40 }, (_, n) => destination.deliver({ eventId: idOf(n) })));
  assert.equal(await inbox.connections(), 4);
});

test("an event that the receiver refuses is rejected, and its neighbours arrive", async () => {
  await using inbox = await openInbox();
  await inbox.db.query("alter table outbox.inbox add check (topic <> 'bad.one')");
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const topics = ["a.b", "bad.one", "a.b", "a.b", "bad.one", "a.b", "a.b"];
  const outcomes = await destination.deliverBatch(topics.map((topic, n) => ({ eventId: idOf(n), topic })));
  assert.deepEqual(
    outcomes.map((outcome) => ("code" in outcome ? outcome.code : outcome.kind)),
    topics.map((topic) => (topic === "bad.one" ? "rejected" : "delivered")),
  );
  assert.equal((await inbox.rows()).length, 5);
});

test("a payload with an escaped zero byte or half a character is kept: json does not look inside", async () => {
  await using inbox = await openInbox();
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const payload = '{"a": "\\u0000", "b": "\\ud800"}';
  assert.equal((await destination.deliver({ payload })).kind, "delivered");
  assert.equal((await inbox.rows())[0]?.payload, payload);
});

test("variables of the worker's environment decide nothing", async (t) => {
  await using inbox = await openInbox();
  const foreign = { PGOPTIONS: "-c nonsense=1", PGSSLMODE: "require", PGSSLNEGOTIATION: "direct", PGPASSWORD: "x" };
  Object.assign(process.env, foreign);
  t.after(() => {
    for (const name of Object.keys(foreign)) delete process.env[name];
  });
  await using destination = await openDestination(postgres, inbox.config, inbox);
  const outcome = await destination.deliver();
  for (const name of Object.keys(foreign)) delete process.env[name];
  assert.deepEqual(outcome, { kind: "delivered" });
});
