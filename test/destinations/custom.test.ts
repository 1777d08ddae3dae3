/** A destination type of the user's own: written with the public API, it enters by the door that the built-in ones use. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { run } from "graphile-worker";
import { z } from "zod";
import {
  DialError,
  type Dialler,
  defineDestination,
  type Message,
  migrate,
  type Outcome,
  postrider,
} from "../../src/index.ts";
import { createLog } from "../../src/log.ts";
import { Arrivals } from "../support/arrivals.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addEvents, deliveriesOf } from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";
import { startTestWorker, testConfig } from "../support/worker.ts";

const config = z.strictObject({
  host: z.string().max(253).meta({ title: "Host" }),
  port: z.int().min(1).max(65_535).meta({ title: "Port" }),
});
const secrets = z.strictObject({ greeting: z.string().min(4).meta({ title: "Greeting" }) });
type Config = z.infer<typeof config>;

/** Writes lines over a connection of its own: the simplest protocol that can be. */
const write = async (lines: readonly string[], { host, port }: Config, dialler: Dialler, signal: AbortSignal) => {
  try {
    const socket = await dialler.socket(host, port, { signal });
    socket.end(`${lines.join("\n")}\n`);
    await once(socket, "close", { signal });
    return { kind: "delivered" } satisfies Outcome;
  } catch (error) {
    const { code, message, ours } = error instanceof DialError ? error : new DialError("reset", "the line was cut");
    return { kind: code === "blocked_address" ? "dead" : "retry", code, reason: message, ours } satisfies Outcome;
  }
};

const shared = {
  config,
  secrets,
  addresses: ({ host, port }: Config) => [new URL(`line://${host}:${port}`)],
  connect: () => undefined,
  disconnect: () => {},
};

const line = defineDestination<Config, undefined>({
  ...shared,
  type: "line",
  label: "A line for each event",
  deliver: ({ topic, payload }, { config, secrets, dialler, signal }) =>
    write([`${secrets.greeting?.[0]} ${topic} ${payload}`], config, dialler, signal),
});

const lines = defineDestination<Config, undefined>({
  ...shared,
  type: "lines",
  label: "Lines for many events",
  batchSizeMax: 10,
  deliverBatch: async (messages: readonly Message[], { config, dialler, signal }) => {
    const good = messages.filter(({ payload }) => !payload.includes("13"));
    const outcome = await write(
      good.map(({ payload }) => payload),
      config,
      dialler,
      signal,
    );
    const refused: Outcome = { kind: "dead", code: "rejected", reason: "thirteen" };
    return messages.map((message) => (good.includes(message) ? outcome : refused));
  },
});

/** Keeps what each connection wrote. */
const startLineServer = async () => {
  const received = new Arrivals<string>();
  const server = createServer(async (socket: Socket) => received.add(await text(socket))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    received,
    [Symbol.asyncDispose]: async () => {
      received.close();
      server.close();
      await once(server, "close");
    },
  };
};

const createDestination = (db: TestDatabase, type: string, config: object) =>
  db.query("select outbox.create_destination($1, $2, secrets => $3)", [type, config, { greeting: "hello" }]);

/** A database that knows both types. */
const openShop = async () => {
  const db = await testDatabase();
  const { pending } = await migrate({ connectionString: db.url, destinations: [line, lines] });
  assert.deepEqual(pending, ["destination_types/line", "destination_types/lines"]);
  return db;
};

test("a type of one's own delivers what an insert says", async () => {
  await using db = await openShop();
  await using server = await startLineServer();
  await using _worker = await startTestWorker(db, { destinations: [line, lines] });
  await createDestination(db, "line", { host: "127.0.0.1", port: server.port });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{\"total\": 12.50}')");
  assert.equal(await server.received.next(), 'hello order.paid {"total": 12.50}\n');
  await db.until("select status from outbox.deliveries", [], ({ status }) => status === "delivered");
});

test("a type of one's own with batches gets several events at once, and answers for each", async () => {
  await using db = await openShop();
  await using server = await startLineServer();
  await createDestination(db, "lines", { host: "127.0.0.1", port: server.port });
  await addEvents(db, 30);
  await using _worker = await startTestWorker(db, { destinations: [line, lines] });
  await db.until(
    "select count(*)::int as n from outbox.deliveries where finished_at is not null",
    [],
    ({ n }) => n === 30,
  );
  const statuses = (await deliveriesOf(db)).map(({ status, error_code }) => error_code ?? status);
  assert.deepEqual(
    statuses.filter((status) => status !== "delivered"),
    ["rejected"],
  );
  const batches = server.received.items.map((batch) => batch.trimEnd().split("\n"));
  assert.equal(new Set(batches.flat()).size, 29);
  assert.ok(batches.length < 29, "no batch had more than one event");
  assert.ok(batches.every((batch) => batch.length <= 10));
});

test("graphile-worker's own runner, with a preset that is given a type of one's own, migrates for it and delivers", async () => {
  await using db = await testDatabase({ migrated: false });
  await using server = await startLineServer();
  const mine = postrider({ destinations: [line], config: testConfig(), log: createLog("silent") });
  const preset = { extends: [mine], worker: { connectionString: `${db.url}?application_name=own_runner` } };
  const runner = await run({ preset, noHandleSignals: true });
  try {
    await createDestination(db, "line", { host: "127.0.0.1", port: server.port });
    await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{\"total\": 12.50}')");
    assert.equal(await server.received.next(), 'hello order.paid {"total": 12.50}\n');
    await db.until("select status from outbox.deliveries", [], ({ status }) => status === "delivered");
  } finally {
    await runner.stop();
  }
  assert.deepEqual(await db.lockedJobs(), []);
  // graphile-worker hears no more of its connections once it has stopped, and some of them are still closing.
  await db.until(
    "select count(*)::int as open from pg_stat_activity where application_name = 'own_runner'",
    [],
    ({ open }) => open === 0,
  );
});

test("SQL refuses what the schema of one's own type refuses", async () => {
  await using db = await openShop();
  const wrong = await refusalOf(createDestination(db, "line", { host: "a.example", port: 70_000 }));
  assert.match(wrong.message, /config\.port/);
  const unknown = await refusalOf(createDestination(db, "line", { host: "a.example", port: 7, tls: true }));
  assert.match(unknown.message, /config.*tls/);
  const secret = db.query("select outbox.create_destination('line', $1, secrets => $2)", [
    { host: "a.example", port: 7 },
    { greeting: "hey" },
  ]);
  assert.match((await refusalOf(secret)).message, /secrets\.greeting/);
});

test("the wall stands before types of one's own: an address that the operator did not open is dead, and told of", async () => {
  await using db = await openShop();
  await using server = await startLineServer();
  await using _worker = await startTestWorker(db, { destinations: [line, lines], config: { allowedNetworks: [] } });
  await createDestination(db, "line", { host: "127.0.0.1", port: server.port });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  const { error_code } = await db.until("select error_code from outbox.deliveries where status = 'dead'");
  assert.equal(error_code, "blocked_address");
  assert.equal(server.received.count, 0);
});

test("a wait that no clock has harms neither its own delivery nor those beside it", async () => {
  const waits = [1.5, -5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, "soon" as unknown as number];
  const moody = defineDestination<Config, undefined>({
    ...shared,
    type: "moody",
    label: "Asks for odd waits",
    deliver: async ({ payload }): Promise<Outcome> => {
      const { n } = JSON.parse(payload);
      return n > waits.length
        ? { kind: "delivered" }
        : { kind: "retry", code: "throttled", reason: "later", retryAfterMs: waits[n - 1] ?? 0 };
    },
  });
  await using db = await testDatabase();
  await migrate({ connectionString: db.url, destinations: [moody] });
  await createDestination(db, "moody", { host: "127.0.0.1", port: 1 });
  await addEvents(db, waits.length + 1);
  await using _worker = await startTestWorker(db, { destinations: [moody] });
  await db.until("select count(*)::int as n from outbox.attempts", [], ({ n }) => n === waits.length + 1);
  const rows = await db.query(
    "select status::text, extract(epoch from next_attempt_at - last_attempt_at) > 80000 as in_a_day from outbox.deliveries order by seq",
  );
  const soon = { status: "pending", in_a_day: false };
  const inADay = { status: "pending", in_a_day: true };
  assert.deepEqual(rows, [soon, soon, soon, inADay, inADay, soon, { status: "delivered", in_a_day: null }]);
});
