/** What the rabbitmq type makes of a broker that fails: a scripted one, as a real one does not fail on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as rabbitmq } from "../../src/destinations/rabbitmq.ts";
import { type AmqpPeer, type AmqpScript, type AmqpServer, startAmqp } from "../support/amqp.ts";
import {
  closeArguments,
  frame,
  frameTypes,
  methodFrame,
  methods,
  protocolHeader,
  shortString,
  uint,
} from "../support/amqp_codec.ts";
import { type DeliverOptions, openDestination } from "../support/contract.ts";

const secrets = { username: ["guest"], password: ["correct horse"] };
const openAt = ({ port }: AmqpServer, config: object = {}) =>
  openDestination(rabbitmq, { host: "127.0.0.1", port, tls: false, exchange: "events", ...config }, { secrets });
const told = (outcome: Outcome) => [outcome.kind, "code" in outcome ? outcome.code : undefined];
const deadline = (ms: number): DeliverOptions => ({ signal: AbortSignal.timeout(ms) });

/** What becomes of one delivery to a broker that behaves so. */
async function outcomeOf(script: AmqpScript, options: DeliverOptions = {}): Promise<Outcome> {
  await using server = await startAmqp(script);
  await using destination = await openAt(server);
  return await destination.deliver({}, options);
}

const closeConnection = (code: number) => (peer: AmqpPeer) => peer.closeConnection(code);
const closeChannel = (code: number) => (peer: AmqpPeer) => peer.closeChannel(code);
const hangUp = ({ socket }: AmqpPeer) => void socket.end();
const cut = ({ socket }: AmqpPeer) => void socket.resetAndDestroy();

const openOk = methodFrame(0, methods.connectionOpenOk, shortString(""));
/** Lets the client in, and says more in the same breath. */
const openAnd =
  (...more: readonly Buffer[]) =>
  ({ socket }: AmqpPeer) =>
    void socket.write(Buffer.concat([openOk, ...more]));
const giveBack =
  (bytes: number) =>
  ({ send, socket }: AmqpPeer) => {
    send(1, methods.basicReturn, uint(312, 2), shortString("NO_ROUTE"), shortString(""), shortString(""));
    socket.write(frame(frameTypes.header, 1, Buffer.concat([uint(60, 2), uint(0, 2), uint(bytes, 8), uint(0, 2)])));
  };

/** What the broker does, and what becomes of the delivery. */
const faults: readonly (readonly [what: string, script: AmqpScript, kind: Outcome["kind"], code: string])[] = [
  ["resets the connection after it took the message", { publish: cut }, "retry", "reset"],
  ["hangs up after it took the message", { publish: hangUp }, "retry", "reset"],
  ["closes the connection: 320, forced", { publish: closeConnection(320) }, "retry", "reset"],
  ["closes the connection: 506, resource error", { publish: closeConnection(506) }, "retry", "reset"],
  ["closes the connection: 541, internal error", { publish: closeConnection(541) }, "retry", "reset"],
  ["closes the connection: 403, access refused", { publish: closeConnection(403) }, "retry", "auth_failed"],
  ["closes the connection: 501, frame error", { publish: closeConnection(501) }, "retry", "protocol"],
  ["closes the channel: 404, not found", { publish: closeChannel(404) }, "retry", "not_found"],
  ["closes the channel: 403, access refused", { publish: closeChannel(403) }, "retry", "auth_failed"],
  ["closes the channel: 541, internal error", { publish: closeChannel(541) }, "retry", "unavailable"],
  ["closes the channel: 311, content too large", { publish: closeChannel(311) }, "dead", "too_large"],
  ["closes the channel: 406, precondition failed", { publish: closeChannel(406) }, "dead", "rejected"],
  ["closes the channel: 540, not implemented", { publish: closeChannel(540) }, "dead", "rejected"],
  ["answers with what is not AMQP", { publish: ({ socket }) => void socket.write("x".repeat(9)) }, "retry", "protocol"],
  ["answers what nobody asked", { publish: (peer) => peer.send(1, 0x14000b) }, "retry", "protocol"],
  ["acks without saying what", { publish: (peer) => peer.send(1, methods.basicAck) }, "retry", "protocol"],
  ["acks what it was never sent", { publish: (peer) => peer.ack(4_000_000_000) }, "retry", "protocol"],
  ["acks nothing", { publish: (peer) => peer.ack(0) }, "retry", "protocol"],
  ["gives back more than it was sent", { publish: giveBack(1_000_000_000) }, "retry", "protocol"],
  ["hangs up at once", { greet: hangUp }, "retry", "reset"],
  [
    "speaks HTTP",
    { greet: ({ socket }) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
    "retry",
    "protocol",
  ],
  ["speaks another AMQP", { greet: ({ socket }) => void socket.end(protocolHeader) }, "retry", "protocol"],
  ["knows no passwords", { mechanisms: "EXTERNAL" }, "retry", "auth_failed"],
  ["refuses the password with 403", { login: closeConnection(403) }, "retry", "auth_failed"],
  ["hangs up when it has the password", { login: hangUp }, "retry", "auth_failed"],
  ["is shutting down at the login", { login: closeConnection(320) }, "retry", "unavailable"],
  ["has no such virtual host", { enter: closeConnection(530) }, "retry", "not_found"],
  [
    "lets us in and closes the connection in one breath",
    { enter: openAnd(methodFrame(0, methods.connectionClose, closeArguments(541, "as the script says"))) },
    "retry",
    "unavailable",
  ],
  ["lets us in and babbles in one breath", { enter: openAnd(Buffer.from("x".repeat(9))) }, "retry", "protocol"],
  ["hangs up instead of opening the virtual host", { enter: hangUp }, "retry", "reset"],
];

for (const [what, script, kind, code] of faults) {
  test(`a broker that ${what} is ${kind}: ${code}`, async () => {
    const outcome = await outcomeOf(script);
    assert.deepEqual(told(outcome), [kind, code]);
    assert.doesNotMatch(JSON.stringify(outcome), /correct horse|as the script says/);
  });
}

for (const [what, script] of [
  ["confirms", { publish: () => {} }],
  ["answers the login", { login: () => {} }],
  ["greets", { greet: () => {} }],
] as const) {
  test(`a broker that never ${what} is retried at the deadline: timeout`, async () => {
    assert.deepEqual(told(await outcomeOf(script, deadline(100))), ["retry", "timeout"]);
  });
}

test("a worker that stops while it waits for the confirmation blames itself", async () => {
  await using server = await startAmqp({ publish: () => {} });
  await using destination = await openAt(server);
  const controller = new AbortController();
  const outcome = destination.deliver({}, { signal: controller.signal });
  await server.published.next();
  controller.abort();
  const { kind, code, ours } = { code: "", ours: false, ...(await outcome) };
  assert.deepEqual([kind, code, ours], ["retry", "timeout", true]);
});

test("a broker without a heartbeat is given up before the deadline, and the next message connects anew", async () => {
  let isSilent = true;
  const publish = (peer: AmqpPeer, tag: number) => void (isSilent || peer.ack(tag));
  await using server = await startAmqp({ heartbeat: 1, publish });
  await using destination = await openAt(server);
  const outcome = await destination.deliver();
  assert.deepEqual(told(outcome), ["retry", "timeout"]);
  assert.match("reason" in outcome ? outcome.reason : "", /silent/);
  isSilent = false;
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.peers.length, 2);
});

test("a broken connection fails what was on it, and the next message makes another", async () => {
  await using server = await startAmqp({ publish: (peer, tag) => (tag === 3 ? cut(peer) : undefined) });
  await using destination = await openAt(server);
  const outcomes = await destination.deliverBatch([{}, {}, {}]);
  assert.deepEqual(outcomes.map(told), Array(3).fill(["retry", "reset"]));
  assert.equal(server.peers.length, 1);
  await destination.deliver({}, deadline(100));
  assert.equal(server.peers.length, 2);
});

test("a closed channel is opened again on the same connection", async () => {
  let refusals = 1;
  const publish = (peer: AmqpPeer, tag: number) => (refusals-- > 0 ? peer.closeChannel(404) : peer.ack(tag));
  await using server = await startAmqp({ publish });
  await using destination = await openAt(server);
  assert.deepEqual(told(await destination.deliver()), ["retry", "not_found"]);
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.peers.length, 1);
});

test("one message that closes the channel does not make its neighbours dead letters", async () => {
  await using server = await startAmqp({ publish: (peer, tag) => void (tag === 2 && peer.closeChannel(406)) });
  await using destination = await openAt(server);
  const outcomes = await destination.deliverBatch([{}, {}]);
  assert.deepEqual(outcomes.map(told), Array(2).fill(["retry", "rejected"]));
});

test("one confirmation may be for several messages, and for some but not all", async () => {
  await using server = await startAmqp({ publish: (peer, tag) => void (tag % 5 === 0 && peer.ack(tag, true)) });
  await using destination = await openAt(server);
  const outcomes = await destination.deliverBatch(Array(12).fill({}), deadline(300));
  const expected = Array.from({ length: 12 }, (_, n) => (n < 10 ? "delivered" : "retry"));
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    expected,
  );
});

test("while the broker blocks publishers nothing more is sent to it; what was sent may still arrive: timeout", async () => {
  const block = (peer: AmqpPeer) => peer.send(0, methods.connectionBlocked, shortString("low on memory"));
  await using server = await startAmqp({ publish: (peer, tag) => (tag === 1 ? block(peer) : peer.ack(tag)) });
  await using destination = await openAt(server);
  const outcomes = [await destination.deliver({}, deadline(100)), await destination.deliver({}, deadline(100))];
  assert.deepEqual(outcomes.map(told), [
    ["retry", "timeout"],
    ["retry", "unavailable"],
  ]);
  assert.equal(server.published.count, 1);
  const waiting = destination.deliver();
  server.peers[0]?.send(0, methods.connectionUnblocked);
  assert.equal((await waiting).kind, "delivered");
});

test("a broker that blocks publishers from the start is sent nothing, and is retried: unavailable", async () => {
  const blocked = methodFrame(0, methods.connectionBlocked, shortString("low on memory"));
  await using server = await startAmqp({ enter: openAnd(blocked) });
  await using destination = await openAt(server);
  assert.deepEqual(told(await destination.deliver({}, deadline(100))), ["retry", "unavailable"]);
  assert.equal(server.published.count, 0);
});

test("a channel that stops making sense is given up with its connection, and the next message makes another", async () => {
  const babble = ({ socket }: AmqpPeer) => void socket.write(frame(frameTypes.body, 1, Buffer.from("x")));
  let isSane = false;
  await using server = await startAmqp({ publish: (peer, tag) => (isSane ? peer.ack(tag) : babble(peer)) });
  await using destination = await openAt(server);
  assert.equal((await destination.deliver({}, deadline(100))).kind, "retry");
  isSane = true;
  await destination.deliver();
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.peers.length, 2);
});

test("a broker that stops reading is sent a few megabytes at most, and the rest is not kept for it", async () => {
  await using server = await startAmqp({ publish: (peer, tag) => (tag === 1 ? peer.socket.pause() : peer.ack(tag)) });
  await using destination = await openAt(server);
  const payload = JSON.stringify("x".repeat(1_000_000));
  const outcomes = await destination.deliverBatch(Array(64).fill({ payload }), deadline(1_000));
  assert.deepEqual(outcomes.map(told), Array(64).fill(["retry", "timeout"]));
  server.peers[0]?.socket.resume();
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.ok(server.published.count < 32, `${server.published.count} messages were sent`);
});

test("the password of before is tried while the broker refuses the new one", async () => {
  let logins = 0;
  const login = (peer: AmqpPeer) => {
    logins += 1;
    if (logins === 1) peer.closeConnection(403);
    else peer.send(0, methods.connectionTune, uint(0, 2), uint(0, 4), uint(0, 2));
  };
  await using server = await startAmqp({ login });
  await using destination = await openAt(server);
  const during = { secrets: { username: ["guest"], password: ["new", "old"] } };
  assert.equal((await destination.deliver({}, during)).kind, "delivered");
  assert.equal(logins, 2);
});

test("headers that do not fit the broker's frames are final: too_large; neighbours are delivered", async () => {
  const login = (peer: AmqpPeer) => peer.send(0, methods.connectionTune, uint(0, 2), uint(8_192, 4), uint(0, 2));
  await using server = await startAmqp({ login });
  await using destination = await openAt(server);
  const headers = { a: "x".repeat(4_000), b: "x".repeat(4_000) };
  const outcomes = await destination.deliverBatch([{}, { headers }, { headers: { a: headers.a } }]);
  assert.deepEqual(outcomes.map(told), [
    ["delivered", undefined],
    ["dead", "too_large"],
    ["delivered", undefined],
  ]);
});

test("many messages at once share one connection", async () => {
  await using server = await startAmqp();
  await using destination = await openAt(server);
  await destination.deliverBatch(Array(40).fill({}));
  assert.equal(server.peers.length, 1);
});

test("a deadline that ends one message's wait for the connection leaves it to the others", async () => {
  const logins: AmqpPeer[] = [];
  const login = (peer: AmqpPeer) => void logins.push(peer);
  await using server = await startAmqp({ login });
  await using destination = await openAt(server);
  const patient = destination.deliver();
  assert.deepEqual(told(await destination.deliver({}, deadline(100))), ["retry", "timeout"]);
  logins[0]?.send(0, methods.connectionTune, uint(0, 2), uint(0, 4), uint(0, 2));
  assert.equal((await patient).kind, "delivered");
  assert.equal(server.peers.length, 1);
});

test("a body is cut into frames as the broker wants them; headers that need more than one are dead: too_large", async () => {
  await using server = await startAmqp({ frameBytesMax: 4_096 });
  await using destination = await openAt(server);
  const long = { headers: { note: "x".repeat(4_096) } };
  const outcomes = await destination.deliverBatch([{ payload: JSON.stringify("x".repeat(100_000)) }, long, {}]);
  assert.deepEqual(outcomes.map(told), [
    ["delivered", undefined],
    ["dead", "too_large"],
    ["delivered", undefined],
  ]);
});
