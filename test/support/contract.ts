/**
 * What every destination type must keep to, whatever its protocol: `testDestination(type, open)` in its own test file,
 * where `open` starts a real server of the protocol.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { parseAllowedNetworks } from "../../src/addresses.ts";
import type { DestinationType, Message, OperatorPolicy, Outcome } from "../../src/destination.ts";
import { createDialler, type DiallerOptions } from "../../src/outbound.ts";
import type { Forwarder } from "./forwarder.ts";

/** An event as the server got it. */
export interface Received {
  readonly payload: string;
  readonly id: string;
  readonly topic: string;
}

/** A real server, and how destinations reach it. */
export interface Opened extends AsyncDisposable {
  readonly config: object;
  readonly secrets: Readonly<Record<string, readonly string[]>>;
  /** The next event that the server gets. */
  readonly next: () => Promise<Received>;
  /** Connections that are open now. */
  readonly openConnections: () => number | Promise<number>;
  /** A forwarder to the server, which clients do not get past. */
  readonly forward: () => Promise<Forwarder>;
  /** The same config, but it leads to this port of 127.0.0.1. */
  readonly configAt: (port: number) => object;
  /** Configs that the schema must refuse, by the path that it must name. */
  readonly badConfigs: Readonly<Record<string, object>>;
}

export interface DeliverOptions extends Partial<DiallerOptions>, Partial<OperatorPolicy> {
  readonly secrets?: Readonly<Record<string, readonly string[]>>;
  readonly signal?: AbortSignal;
  readonly deadStatuses?: readonly number[];
  readonly now?: Date;
}

/** A client of a destination type, as a worker keeps it for one destination. */
export interface OpenDestination extends AsyncDisposable {
  readonly deliver: (message?: Partial<Message>, options?: DeliverOptions) => Promise<Outcome>;
  /** Together, if the protocol has batches; an outcome for each, in order. */
  readonly deliverBatch: (
    messages: readonly Partial<Message>[],
    options?: DeliverOptions,
  ) => Promise<readonly Outcome[]>;
}

/** The smallest message; a test says what it is about. */
export const messageOf = (given: Partial<Message> = {}): Message => ({
  eventId: "01890a5d-ac96-774b-bcce-b302099a8057",
  subscriptionId: "01890a5d-ac96-774b-bcce-b302099a8058",
  tenantId: "acme",
  topic: "order.paid",
  payload: "{}",
  key: null,
  headers: null,
  traceparent: null,
  occurredAt: new Date("2026-01-02T03:04:05.678Z"),
  attempt: 1,
  ...given,
});

/** Connects a destination whose operator allows http and 127.0.0.0/8. */
export async function openDestination(
  type: DestinationType,
  config: object,
  options: DeliverOptions = {},
): Promise<OpenDestination> {
  const networks = { allowHttp: true, allowedNetworks: parseAllowedNetworks("127.0.0.0/8") };
  const dialler = createDialler({ ...networks, ...options });
  const parsed: unknown = type.config.parse(config);
  const { secrets = {}, allowAssumeRole = false } = options;
  const operator = { allowAssumeRole };
  const client: unknown = await type.connect({ tenantId: "acme", config: parsed, secrets, dialler, operator });
  const contextOf = ({ signal, deadStatuses = [], now = new Date(), ...given }: DeliverOptions) => ({
    config: parsed,
    client,
    secrets: given.secrets ?? secrets,
    dialler,
    deadStatuses,
    signal: signal ?? AbortSignal.timeout(15_000),
    now,
  });
  const deliverBatch = async (messages: readonly Message[], given: DeliverOptions): Promise<readonly Outcome[]> =>
    type.deliverBatch === undefined
      ? Promise.all(messages.map((message) => type.deliver(message, contextOf(given))))
      : type.deliverBatch(messages, contextOf(given));
  return {
    deliver: async (message, given = {}) => (await deliverBatch([messageOf(message)], given))[0] as Outcome,
    deliverBatch: (messages, given = {}) => deliverBatch(messages.map(messageOf), given),
    [Symbol.asyncDispose]: async () => type.disconnect(client),
  };
}

/** Bytes that a parser would not give back as they were. */
const awkwardPayload = '{ "b": 1.10, "a": 12345678901234567890, "a": "\\u00e9 é 😀 \\/ \u2028", "n": [1e2, -0.0] }\n';

/** A server that accepts and says nothing. */
const startSilence = async () => {
  const accepted = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    accepted.resolve();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return { server, accepted: accepted.promise, port: typeof address === "object" ? (address?.port ?? 0) : 0 };
};

export interface ContractOptions {
  /** `equal`: the server reads the payload as JSON and writes it anew. Default: `same`, byte for byte. */
  readonly payload?: "same" | "equal";
}

/** JSON without what is lost when it is read and written anew. */
const rewritten = (json: string): unknown => JSON.parse(JSON.stringify(JSON.parse(json)));

const untilNone = async (complaint: string, count: () => number | Promise<number>): Promise<void> => {
  const late = Date.now() + 1_000;
  while ((await count()) !== 0) {
    assert.ok(Date.now() < late, complaint);
    await wait(5);
  }
};

/** Registers the tests of the contract for a type. */
export function testDestination(
  type: DestinationType,
  open: () => Promise<Opened>,
  { payload = "same" }: ContractOptions = {},
): void {
  const name = type.type;
  const manner = payload === "same" ? "byte for byte" : "as equal JSON";
  const comparable = payload === "same" ? String : rewritten;

  test(`${name}: the payload arrives ${manner}, and id and topic travel with it`, async () => {
    await using opened = await open();
    await using destination = await openDestination(type, opened.config, { secrets: opened.secrets });
    const message = messageOf({ payload: awkwardPayload, topic: "order.line.added", key: "order 7" });
    const [outcome, received] = await Promise.all([destination.deliver(message), opened.next()]);
    assert.equal(outcome.kind, "delivered");
    assert.deepEqual([received.id, received.topic], [message.eventId, message.topic]);
    assert.deepEqual(comparable(received.payload), comparable(awkwardPayload));
  });

  test(`${name}: many deliveries at once are all delivered`, async () => {
    await using opened = await open();
    await using destination = await openDestination(type, opened.config, { secrets: opened.secrets });
    const ids = Array.from({ length: 50 }, (_, n) => `01890a5d-ac96-774b-bcce-${String(n).padStart(12, "0")}`);
    const outcomes = await Promise.all(ids.map((eventId) => destination.deliver({ eventId })));
    assert.deepEqual(new Set(outcomes.map(({ kind }) => kind)), new Set(["delivered"]));
    const received = await Promise.all(ids.map(() => opened.next()));
    assert.deepEqual(new Set(received.map(({ id }) => id)), new Set(ids));
  });

  test(`${name}: a refused connection is retried, not an exception`, async () => {
    await using opened = await open();
    const { server, port } = await startSilence();
    server.close();
    await using destination = await openDestination(type, opened.configAt(port), { secrets: opened.secrets });
    const outcome = await destination.deliver();
    assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["retry", "connect"]);
  });

  test(`${name}: an aborted signal settles within a second`, async () => {
    await using opened = await open();
    const { server, port, accepted } = await startSilence();
    const destination = await openDestination(type, opened.configAt(port), { secrets: opened.secrets });
    try {
      const controller = new AbortController();
      const outcome = destination.deliver({}, { signal: controller.signal });
      await accepted;
      controller.abort();
      const late = wait(1_000, undefined, { ref: false });
      assert.equal((await Promise.race([outcome, late]))?.kind, "retry");
      const before = await destination.deliver({}, { signal: AbortSignal.abort() });
      assert.equal(before.kind, "retry");
    } finally {
      server.close();
      await destination[Symbol.asyncDispose]();
    }
  });

  /** A destination whose connection stands, and whose server says nothing more, but still takes what it is sent. */
  const openMuted = async (stack: AsyncDisposableStack) => {
    const opened = stack.use(await open());
    const forwarder = stack.use(await opened.forward());
    const { secrets } = opened;
    const destination = stack.use(await openDestination(type, opened.configAt(forwarder.port), { secrets }));
    const [first] = await Promise.all([destination.deliver(), opened.next()]);
    assert.equal(first.kind, "delivered");
    forwarder.mute();
    return { opened, forwarder, destination };
  };
  const secondId = "01890a5d-ac96-774b-bcce-b302099a8059";

  test(`${name}: an answer that is cut off is retried, though the server took the event`, async () => {
    await using stack = new AsyncDisposableStack();
    const { opened, forwarder, destination } = await openMuted(stack);
    const outcome = destination.deliver({ eventId: secondId });
    assert.equal((await opened.next()).id, secondId);
    forwarder.cut();
    assert.equal((await outcome).kind, "retry");
  });

  test(`${name}: a server that goes silent is given up at the deadline, and its sockets are freed`, async () => {
    await using stack = new AsyncDisposableStack();
    const { opened, forwarder, destination } = await openMuted(stack);
    const deadline = new AbortController();
    const outcome = destination.deliver({ eventId: secondId }, { signal: deadline.signal });
    assert.equal((await opened.next()).id, secondId);
    deadline.abort(new DOMException("deadline", "TimeoutError"));
    const ended = await outcome;
    assert.deepEqual([ended.kind, "code" in ended && ended.code], ["retry", "timeout"]);
    await destination[Symbol.asyncDispose]();
    await untilNone("a connection is still open after a second", () => forwarder.open.size);
  });

  test(`${name}: a forbidden address is dead at once`, async () => {
    await using opened = await open();
    await using destination = await openDestination(type, opened.config, {
      secrets: opened.secrets,
      allowedNetworks: [],
    });
    const outcome = await destination.deliver();
    assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["dead", "blocked_address"]);
  });

  test(`${name}: a bad config is refused by the schema, with its path`, async () => {
    await using opened = await open();
    assert.ok(type.config.safeParse(opened.config).success);
    for (const [path, config] of Object.entries(opened.badConfigs)) {
      const { error } = type.config.safeParse(config);
      const issue = error?.issues[0];
      const named = [...(issue?.path ?? []), ...(issue?.code === "unrecognized_keys" ? issue.keys : [])].join(".");
      assert.equal(named, path, JSON.stringify(config));
    }
  });

  test(`${name}: disconnecting frees the sockets`, async () => {
    await using opened = await open();
    const destination = await openDestination(type, opened.config, { secrets: opened.secrets });
    await destination.deliver();
    assert.notEqual(await opened.openConnections(), 0);
    await destination[Symbol.asyncDispose]();
    await untilNone("a connection is still open after a second", opened.openConnections);
  });

  test(`${name}: no secret is in an outcome`, async () => {
    await using opened = await open();
    const { server, port } = await startSilence();
    server.close();
    for (const config of [opened.config, opened.configAt(port)]) {
      await using destination = await openDestination(type, config, { secrets: opened.secrets });
      const told = JSON.stringify(await destination.deliver());
      for (const secret of Object.values(opened.secrets).flat()) assert.ok(!told.includes(secret));
    }
  });
}
