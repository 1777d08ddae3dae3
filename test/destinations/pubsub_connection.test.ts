/** What servers and what stands before them may do to an HTTP/2 connection. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { openDestination } from "../support/contract.ts";
import { pubsubConfig } from "../support/pubsub.ts";

const grpc = { "content-type": "application/grpc" };
const emptyMessage = Buffer.alloc(5);

/** A right answer. */
const accept = (stream: ServerHttp2Stream): void => {
  stream.respond(grpc, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" })).end(emptyMessage);
};

/** An HTTP/2 server; `respond` is called for each request that is complete. */
const startHttp2 = async (respond: (stream: ServerHttp2Stream, count: number) => void) => {
  let count = 0;
  let connections = 0;
  const server = createServer();
  server.on("session", (session) => {
    connections += 1;
    session.on("error", () => {});
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.resume().once("end", () => respond(stream, ++count));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    config: pubsubConfig(typeof address === "object" ? (address?.port ?? 0) : 0),
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
};

const told = (outcome: Outcome) => ("code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind);

const html = { "content-type": "text/html" };
/** An answer -> how the attempt ends. */
const answers: readonly (readonly [what: string, answer: (stream: ServerHttp2Stream) => void, outcome: string])[] = [
  ["a right one", accept, "delivered"],
  [
    "a status without a message",
    (stream) => stream.respond({ ...grpc, "grpc-status": "14" }, { endStream: true }),
    "retry: unavailable",
  ],
  [
    "a status of nobody",
    (stream) => stream.respond({ ...grpc, "grpc-status": "99" }, { endStream: true }),
    "retry: protocol",
  ],
  [
    "a web page",
    (stream) => {
      stream.respond(html);
      stream.end("<p>");
    },
    "retry: reset",
  ],
  [
    "an overloaded proxy",
    (stream) => {
      stream.respond({ ":status": 503, ...html });
      stream.end("<p>");
    },
    "retry: unavailable",
  ],
  [
    "a forbidding proxy",
    (stream) => {
      stream.respond({ ":status": 403, ...html });
      stream.end("<p>");
    },
    "retry: auth_failed",
  ],
  [
    "half of one",
    (stream) => {
      stream.respond(grpc);
      stream.write("\0", () => stream.session?.socket.destroy());
    },
    "retry: reset",
  ],
  [
    "no status at the end",
    (stream) => {
      stream.respond(grpc);
      stream.end(emptyMessage);
    },
    "retry: reset",
  ],
  [
    "more than 4 MiB",
    (stream) => {
      stream.respond(grpc);
      stream.write(Buffer.from([0, 0, 64, 0, 1]));
    },
    "retry: throttled",
  ],
  ["a refused stream", (stream) => stream.close(7), "retry: unavailable"],
  ["calm, please", (stream) => stream.close(11), "retry: throttled"],
  ["a broken stream", (stream) => stream.close(2), "retry: reset"],
];

for (const [what, answer, outcome] of answers) {
  test(`the answer is ${what}: ${outcome}`, async () => {
    await using server = await startHttp2(answer);
    await using destination = await openDestination(pubsub, server.config);
    assert.equal(told(await destination.deliver()), outcome);
  });
}

test("a server that says goodbye answers what it took, the rest is tried again, and later events get a new connection", async () => {
  await using server = await startHttp2((stream, count) => {
    if (count === 10) stream.session?.goaway(0);
    accept(stream);
  });
  await using destination = await openDestination(pubsub, server.config);
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => destination.deliver()));
  const delivered = outcomes.filter(({ kind }) => kind === "delivered");
  assert.ok(delivered.length >= 10);
  for (const outcome of outcomes) assert.match(told(outcome), /^(delivered|retry: unavailable)$/);
  assert.equal(told(await destination.deliver()), "delivered");
  assert.equal(server.connections(), 2);
});

test("a destination that is closed breaks off what is in flight, through no fault of the server", async () => {
  const arrived = Promise.withResolvers<void>();
  await using server = await startHttp2(() => arrived.resolve());
  const destination = await openDestination(pubsub, server.config);
  const inFlight = destination.deliver();
  await arrived.promise;
  await destination[Symbol.asyncDispose]();
  for (const outcome of [await inFlight, await destination.deliver()]) {
    assert.deepEqual([outcome.kind, "ours" in outcome && outcome.ours], ["retry", true]);
  }
});
