import { strict as assert } from "node:assert";
import type { Socket } from "node:net";
import { test } from "node:test";
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import type { HttpResponse } from "../../src/outbound.ts";
import { answering, dialErrorOf, getWithin, openDialler, type RawServer, startServer } from "./servers.ts";

const kept = 16 * 1024;
const dialler = openDialler();
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const answer = (body: string | Buffer, headers = "", status = "200 OK"): Buffer =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n`),
    Buffer.from(body),
  ]);

const get = async (server: RawServer, ms?: number): Promise<HttpResponse> => {
  const pool = dialler.pool(server.origin, { connections: 1 });
  try {
    return await dialler.request(pool, getWithin(ms));
  } finally {
    await pool.destroy();
  }
};

const getAnswer = async (bytes: string | Buffer): Promise<HttpResponse> => {
  await using server = await startServer(answering(bytes));
  return await get(server);
};

/** Writes as fast as the other side reads, for ever. */
const flood = (socket: Socket, chunk: Buffer): void => {
  const write = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on("drain", write);
  write();
};

/** Writes again and again, slowly enough that idle timeouts never notice, until the connection is gone. */
const drip = (socket: Socket, text: string): void => {
  const timer = setInterval(() => socket.write(text), 5);
  socket.on("close", () => clearInterval(timer));
};

test("an answer has its status, the headers worth keeping, and its body", async () => {
  const headers = "Content-Type: text/plain\r\nRetry-After: 7\r\nX-Request-Id: a\r\nX-Request-Id: b\r\nX-Other: x\r\n";
  const { status, headers: got, body } = await getAnswer(answer("sorry", headers, "503 Busy"));
  assert.deepEqual({ status, body }, { status: 503, body: "sorry" });
  const expected = { "content-type": "text/plain", "content-length": "5", "retry-after": "7", "x-request-id": "a, b" };
  assert.deepEqual(got, expected);
});

test("credentials in headers are not kept, long values are cut", async () => {
  const secret = "Set-Cookie: a=b\r\nAuthorization: x\r\nWWW-Authenticate: Basic\r\nProxy-Authenticate: x\r\n";
  const { headers } = await getAnswer(answer("", `${secret}Location: /${"a".repeat(5_000)}\r\n__proto__: x\r\n`));
  assert.deepEqual(Object.keys(headers), ["content-length", "location"]);
  assert.equal(headers.location?.length, 1_024);
});

test("a redirect is an answer and is not followed", async () => {
  await using elsewhere = await startServer(answering(answer("followed")));
  const { status, headers } = await getAnswer(answer("", `Location: ${elsewhere.origin}\r\n`, "302 Found"));
  assert.deepEqual([status, headers.location], [302, elsewhere.origin.href]);
  assert.equal(elsewhere.accepted(), 0);
});

test("no proxy is taken from the environment", async (t) => {
  await using proxy = await startServer(answering(answer("proxied")));
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"]) {
    process.env[name] = proxy.origin.href;
    t.after(() => delete process.env[name]);
  }
  assert.equal((await getAnswer(answer("direct"))).body, "direct");
  assert.equal(proxy.accepted(), 0);
});

test("text that Postgres refuses is replaced", async () => {
  const body = Buffer.concat([Buffer.from("a\0b"), Buffer.from([0xff, 0xed, 0xa0, 0x80]), Buffer.from("é😀")]);
  const got = await getAnswer(answer(body, "Server: a\xff\r\n"));
  assert.ok(got.body.startsWith("a\ufffdb\ufffd") && got.body.endsWith("é😀"));
  assert.ok(got.body.isWellFormed() && !got.body.includes("\0"));
});

test("a body of 16 KiB is kept whole, of a longer one the first 16 KiB without half a character", async () => {
  assert.equal((await getAnswer(answer("a".repeat(kept)))).body, "a".repeat(kept));
  assert.equal((await getAnswer(answer("a".repeat(kept + 1)))).body, "a".repeat(kept));
  for (const shift of [0, 1, 2, 3]) {
    const { body } = await getAnswer(answer("a".repeat(shift) + "😀".repeat(kept)));
    assert.equal(body, "a".repeat(shift) + "😀".repeat(Math.floor((kept - shift) / 4)));
  }
});

test("small bodies leave the connection to the next exchange", async () => {
  await using server = await startServer(answering(answer("ok")));
  const pool = dialler.pool(server.origin, { connections: 1 });
  for (let turn = 0; turn < 20; turn += 1) assert.equal((await dialler.request(pool, getWithin())).body, "ok");
  assert.equal(server.accepted(), 1);
  await pool.close();
  await server.idle();
});

test("a body that ends with the connection, in one piece or chunks, is read", async () => {
  await using closing = await startServer((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nbye")),
  );
  assert.equal((await get(closing)).body, "bye");
  assert.equal((await getAnswer(`${chunked}2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`)).body, "abc");
});

test("gzip, deflate and br are decompressed", async () => {
  const text = "hello ".repeat(50);
  for (const [encoding, bytes] of [
    ["gzip", gzipSync(text)],
    ["x-gzip", gzipSync(text)],
    ["GZIP", gzipSync(text)],
    ["deflate", deflateSync(text)],
    ["deflate", deflateRawSync(text)],
    ["br", brotliCompressSync(text)],
    ["identity", Buffer.from(text)],
  ] as const) {
    assert.equal((await getAnswer(answer(bytes, `Content-Encoding: ${encoding}\r\n`))).body, text, encoding);
  }
});

test("of a body that cannot be decoded to its end what was decoded is kept, and the status stands", async () => {
  const text = Array.from({ length: 3_000 }, (_, index) => (index * 7_919) % 10_007).join(" ");
  const whole = gzipSync(text);
  const broken = Buffer.concat([whole.subarray(0, 2_048), Buffer.alloc(2_048, 0xff)]);
  for (const [encoding, bytes] of [
    ["gzip", whole.subarray(0, 4_096)],
    ["gzip", broken],
    ["br", brotliCompressSync(text).subarray(0, 4_096)],
  ] as const) {
    const { status, body } = await getAnswer(answer(bytes, `Content-Encoding: ${encoding}\r\n`));
    assert.equal(status, 200);
    assert.ok(body.length > 1_000 && text.startsWith(body.slice(0, 1_000)), encoding);
  }
  for (const encoding of ["gzip", "deflate", "br", "zstd", "gzip, gzip", "nonsense"]) {
    assert.equal((await getAnswer(answer("plain text", `Content-Encoding: ${encoding}\r\n`))).status, 200, encoding);
  }
});

test("compression bombs do not grow the process", async () => {
  const zeros = Buffer.alloc(64 * 1024 * 1024);
  const bombs = {
    gzip: gzipSync(zeros),
    deflate: deflateSync(zeros),
    br: brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  };
  const peakBefore = process.resourceUsage().maxRSS;
  for (const [encoding, bomb] of Object.entries(bombs)) {
    const bytes = answer(bomb, `Content-Encoding: ${encoding}\r\n`);
    const bodies = await Promise.all(Array.from({ length: 32 }, () => getAnswer(bytes)));
    for (const { body } of bodies) assert.equal(body, "\ufffd".repeat(kept), encoding);
  }
  const grownMiB = (process.resourceUsage().maxRSS - peakBefore) / 1024;
  // 32 bodies of 64 MiB each, three times: without the cap it is more than a gibibyte.
  assert.ok(grownMiB < 128, `grew by ${grownMiB} MiB`);
});

test("an endless body is cut off at the cap, and the answer stands", async () => {
  for (const encoding of ["identity", "gzip"]) {
    await using server = await startServer((socket) =>
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: ${encoding}\r\n\r\n`);
        flood(socket, Buffer.alloc(64 * 1024, "a"));
      }),
    );
    const pool = dialler.pool(server.origin, { connections: 1 });
    const { status, body } = await dialler.request(pool, getWithin());
    assert.equal(status, 200);
    assert.equal(body.length, encoding === "identity" ? kept : 0);
    await server.idle();
    await pool.close();
  }
});

test("a reset in the middle of a body leaves the answer as it is", async () => {
  await using server = await startServer((socket) =>
    socket.once("data", () =>
      socket.write(`${chunked}3\r\nabc\r\n`, () => setImmediate(() => socket.resetAndDestroy())),
    ),
  );
  const { status, body } = await get(server);
  assert.equal(status, 200);
  assert.ok("abc".startsWith(body));
});

test("the deadline ends a dripping body, and the answer stands", async () => {
  await using server = await startServer((socket) =>
    socket.once("data", () => {
      socket.write(chunked);
      drip(socket, "1\r\na\r\n");
    }),
  );
  const { status, body } = await get(server, 200);
  assert.equal(status, 200);
  assert.match(body, /^a+$/);
  await server.idle();
});

test("the deadline ends dripping headers, endless interim answers and silence, and closes the connection", async () => {
  const behaviours: ((socket: Socket) => void)[] = [
    (socket) => socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\n", () => drip(socket, "X: y\r\n"))),
    (socket) => socket.once("data", () => drip(socket, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")),
    (socket) => socket.resume(),
  ];
  for (const behaviour of behaviours) {
    await using server = await startServer(behaviour);
    const { code, ours } = await dialErrorOf(get(server, 100));
    assert.deepEqual({ code, ours }, { code: "timeout", ours: false });
    await server.idle();
  }
});

test("the deadline counts while a request waits for a connection, and it is never sent afterwards", async () => {
  const seen: string[] = [];
  const first = Promise.withResolvers<Socket>();
  await using server = await startServer((socket) =>
    socket.on("data", (chunk) => {
      const path = chunk.toString().split(" ")[1] ?? "";
      seen.push(path);
      if (path === "/first") first.resolve(socket);
      else socket.write(answer("ok"));
    }),
  );
  const pool = dialler.pool(server.origin, { connections: 1 });
  const held = dialler.request(pool, { ...getWithin(), path: "/first" });
  const late = dialErrorOf(dialler.request(pool, { ...getWithin(20), path: "/late" }));
  const last = dialler.request(pool, { ...getWithin(), path: "/last" });
  const socket = await first.promise;
  assert.equal((await late).code, "timeout");
  socket.write(answer("ok"));
  assert.deepEqual([(await held).status, (await last).status], [200, 200]);
  assert.deepEqual(seen, ["/first", "/last"]);
  await pool.destroy();
});

test("an exchange whose signal has already aborted opens no connection", async () => {
  await using server = await startServer(answering(answer("ok")));
  const pool = dialler.pool(server.origin, { connections: 1 });
  const error = await dialErrorOf(dialler.request(pool, { ...getWithin(), signal: AbortSignal.abort() }));
  assert.deepEqual([error.code, error.ours], ["timeout", true]);
  assert.equal(server.accepted(), 0);
  await pool.close();
});

test("what the other side does before its headers is told by cause", async () => {
  const bad = [
    "HTTP/9.9 200 OK\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 000 Zero\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
    `HTTP/1.1 200 OK\r\nX: ${"a".repeat(20_000)}\r\n\r\n`,
  ];
  for (const bytes of bad) assert.equal((await dialErrorOf(getAnswer(bytes))).code, "protocol", bytes.slice(0, 20));
  await using closing = await startServer((socket) => socket.once("data", () => socket.end()));
  await using resetting = await startServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
  assert.equal((await dialErrorOf(get(closing))).code, "reset");
  assert.equal((await dialErrorOf(get(resetting))).code, "reset");
});

test("a pool that we close is our fault, a wrong argument is a bug and no outcome", async () => {
  await using server = await startServer((socket) => socket.resume());
  const pool = dialler.pool(server.origin, { connections: 1 });
  await assert.rejects(dialler.request(pool, { ...getWithin(), headers: { "a b": "1" } }), /invalid header key/);
  const waiting = dialErrorOf(dialler.request(pool, getWithin()));
  await pool.destroy();
  const { code, ours } = await waiting;
  assert.deepEqual({ code, ours }, { code: "reset", ours: true });
});

test("http is refused at the dial when the operator does not allow it", async () => {
  await using server = await startServer(answering(answer("ok")));
  const strict = openDialler({ allowHttp: false });
  const pool = strict.pool(server.origin, { connections: 1 });
  assert.equal((await dialErrorOf(strict.request(pool, getWithin()))).code, "blocked_address");
  assert.equal(server.accepted(), 0);
  await pool.destroy();
});

test("a hundred failed exchanges of every kind leave no socket behind", async () => {
  const kinds: ((socket: Socket) => void)[] = [
    (socket) => socket.resume(),
    (socket) => socket.once("data", () => socket.resetAndDestroy()),
    (socket) => flood(socket, Buffer.from("HTTP/1.1 200 OK\r\n\r\naaaaaaaa")),
    answering(answer("ok")),
  ];
  const countSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
  const before = countSockets();
  for (const kind of kinds) {
    await using server = await startServer(kind);
    await Promise.all(Array.from({ length: 25 }, () => get(server, 100).catch(() => undefined)));
    await server.idle();
  }
  assert.ok(countSockets() <= before, `${before} sockets before, ${countSockets()} after`);
});
