import { strict as assert } from "node:assert";
import { once } from "node:events";
import { test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import type { Dialler, TlsOptions } from "../../src/outbound.ts";
import { type Certificate, createCertificate, withoutOpenssl as skip } from "../support/certificate.ts";
import { startDns } from "../support/dns.ts";
import { dialErrorOf, getWithin, openDialler, startServer } from "./servers.ts";

interface TlsServer extends AsyncDisposable {
  readonly port: number;
  /** Names that clients asked for by SNI; `false` when they did not. */
  readonly names: (string | false | null)[];
}

const startTlsServer = async (certificate: Certificate): Promise<TlsServer> => {
  const names: TlsServer["names"] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer(certificate, (socket) => {
    names.push(socket.servername);
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    names,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};

const get = async (dialler: Dialler, url: string, tls: TlsOptions): Promise<number> => {
  const pool = dialler.pool(new URL(url), { connections: 1, tls });
  try {
    return (await dialler.request(pool, getWithin())).status;
  } finally {
    await pool.destroy();
  }
};

test("a certificate is verified against the name of the URL, which is also sent as SNI", { skip }, async () => {
  const certificate = createCertificate("DNS:hooks.test");
  await using server = await startTlsServer(certificate);
  await using dns = await startDns({ "hooks.test": { a: ["127.0.0.1"] }, "other.test": { a: ["127.0.0.1"] } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const tls = { ca: certificate.cert };
  assert.equal(await get(dialler, `https://hooks.test:${server.port}`, tls), 200);
  assert.equal(await get(dialler, `https://hooks.test.:${server.port}`, tls), 200);
  assert.deepEqual(server.names, ["hooks.test", "hooks.test"]);
  const wrong = await dialErrorOf(get(dialler, `https://other.test:${server.port}`, tls));
  assert.deepEqual([wrong.code, wrong.ours], ["tls", false]);
  assert.match(wrong.message, /ERR_TLS_CERT_ALTNAME_INVALID/);
  assert.equal((await dialErrorOf(get(dialler, `https://127.0.0.1:${server.port}`, tls))).code, "tls");
});

test("an address in the URL is verified against the addresses of the certificate, without SNI", { skip }, async () => {
  const certificate = createCertificate("IP:127.0.0.1");
  await using server = await startTlsServer(certificate);
  const tls = { ca: certificate.cert };
  assert.equal(await get(openDialler(), `https://127.0.0.1:${server.port}`, tls), 200);
  assert.deepEqual(server.names, [false]);
  assert.equal((await dialErrorOf(get(openDialler(), `https://localhost:${server.port}`, tls))).code, "tls");
});

test("an unknown authority is refused, whatever the environment says", { skip }, async (t) => {
  await using server = await startTlsServer(createCertificate("IP:127.0.0.1"));
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  t.after(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  const error = await dialErrorOf(get(openDialler(), `https://127.0.0.1:${server.port}`, {}));
  assert.deepEqual([error.code, error.message], ["tls", "the TLS handshake failed: DEPTH_ZERO_SELF_SIGNED_CERT"]);
});

test("a socket for another protocol is encrypted when it is asked to be", { skip }, async () => {
  const certificate = createCertificate("IP:127.0.0.1");
  await using server = await startTlsServer(certificate);
  const socket = await openDialler().socket("127.0.0.1", server.port, { tls: { ca: certificate.cert } });
  socket.write("hello");
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.match(answer.toString(), /200 OK/);
  socket.destroy();
  assert.equal((await dialErrorOf(openDialler().socket("127.0.0.1", server.port, { tls: true }))).code, "tls");
});

test("a handshake with something that is not TLS, or hangs up, is a TLS failure", async () => {
  await using plain = await startServer((socket) => socket.on("data", () => socket.write("HTTP/1.1 400 Bad\r\n\r\n")));
  await using closing = await startServer((socket) => socket.on("data", () => socket.destroy()));
  assert.equal((await dialErrorOf(openDialler().socket("127.0.0.1", plain.port, { tls: true }))).code, "tls");
  assert.equal((await dialErrorOf(openDialler().socket("127.0.0.1", closing.port, { tls: true }))).code, "tls");
});

test("a certificate that is none is a TLS failure, not an exception", async () => {
  await using server = await startServer((socket) => socket.resume());
  const tls = { cert: "none", key: "none" };
  const error = await dialErrorOf(openDialler().socket("127.0.0.1", server.port, { tls }));
  assert.deepEqual([error.code, error.message], ["tls", "the certificates or the key of the config cannot be used"]);
  await server.idle();
});

test("a handshake that stalls ends with the time for connecting, and its socket is closed", async () => {
  await using server = await startServer((socket) => socket.resume());
  const dialler = openDialler({ connectTimeoutMs: 50 });
  const error = await dialErrorOf(dialler.socket("127.0.0.1", server.port, { tls: true }));
  assert.deepEqual([error.code, error.message], ["timeout", "no connection within 50 ms"]);
  await server.idle();
});
