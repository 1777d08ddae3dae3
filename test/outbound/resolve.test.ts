import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseAllowedNetworks } from "../../src/addresses.ts";
import { connectError, type DialErrorCode } from "../../src/dial-error.ts";
import { startDns } from "../support/dns.ts";
import { answering, dialErrorOf, getWithin, openDialler, startServer } from "./servers.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test("a name that does not exist, has no addresses or has a broken server is unresolved, and not our fault", async () => {
  await using dns = await startDns({ "empty.test": {}, "broken.test": "servfail", "closed.test": "refused" });
  const dialler = openDialler({ dnsServers: [dns.address] });
  for (const [name, word] of [
    ["missing.test", "ENOTFOUND"],
    ["empty.test", "ENODATA"],
    ["broken.test", "ESERVFAIL"],
    ["closed.test", "EREFUSED"],
  ] as const) {
    const verdict = await dialler.check(new URL(`https://${name}/`));
    const reason = `the host name could not be resolved: ${word}`;
    assert.deepEqual(verdict, { kind: "unresolved", reason, ours: false });
    const { code, ours } = await dialErrorOf(dialler.socket(name, 443));
    assert.deepEqual({ code, ours }, { code: "dns", ours: false }, name);
  }
});

test("DNS servers that are not there are our fault", async () => {
  const gone = await startDns({});
  await gone[Symbol.asyncDispose]();
  const verdict = await openDialler({ dnsServers: [gone.address] }).check(new URL("https://a.test/"));
  assert.equal(verdict.kind === "unresolved" && verdict.ours, true);
});

test("silence of DNS is our fault, unless other names are answered meanwhile; these are not delayed", async () => {
  await using dns = await startDns({ "silent.test": "silent", "well.test": { a: ["127.0.0.1"] } });
  const alone = openDialler({ dnsServers: [dns.address] });
  const busy = openDialler({ dnsServers: [dns.address] });
  const silentAlone = alone.check(new URL("https://silent.test/"));
  let answered = false;
  const silentBusy = busy.check(new URL("https://silent.test/")).finally(() => {
    answered = true;
  });
  assert.deepEqual(await busy.check(new URL("https://well.test/")), { kind: "allowed" });
  assert.equal(answered, false);
  const [theirs, ours] = await Promise.all([silentBusy, silentAlone]);
  assert.equal(theirs.kind === "unresolved" && theirs.ours, false);
  assert.equal(ours.kind === "unresolved" && ours.ours, true);
});

test("lookups of one name at the same time are one question of each type, and answers are not kept", async () => {
  await using dns = await startDns({ "well.test": { a: ["127.0.0.1"] } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const url = new URL("https://well.test/");
  await Promise.all(Array.from({ length: 100 }, () => dialler.check(url)));
  assert.deepEqual([...dns.questions].sort(), ["A well.test", "AAAA well.test"]);
  await dialler.check(url);
  assert.equal(dns.questions.length, 4);
});

test("one forbidden address among many refuses the name, and the reason does not tell it", async () => {
  const many = Array.from({ length: 30 }, (_, index) => `127.0.0.${index + 1}`);
  await using dns = await startDns({ "many.test": { a: [...many, "10.1.2.3"] }, "good.test": { a: many } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  assert.deepEqual(await dialler.check(new URL("https://good.test/")), { kind: "allowed" });
  const reason =
    "the host resolves to a forbidden address; an operator can open networks with POSTRIDER_ALLOW_NETWORKS";
  assert.deepEqual(await dialler.check(new URL("https://many.test/")), { kind: "forbidden", reason });
  const error = await dialErrorOf(dialler.socket("many.test", 443));
  assert.deepEqual([error.code, error.message], ["blocked_address", reason]);
});

test("a mapped address in an answer is judged and dialled as the IPv4 address in it", async () => {
  await using server = await startServer(answering(ok));
  await using dns = await startDns({
    "public.test": { aaaa: ["::ffff:101:101"] },
    "private.test": { aaaa: ["::ffff:a00:1"] },
    "here.test": { aaaa: ["::ffff:7f00:1"] },
  });
  const dialler = openDialler({ dnsServers: [dns.address] });
  assert.equal((await dialler.check(new URL("https://public.test/"))).kind, "allowed");
  assert.equal((await dialler.check(new URL("https://private.test/"))).kind, "forbidden");
  const socket = await dialler.socket("here.test", server.port);
  assert.equal(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
});

test("the next address is tried when the first does not answer", async () => {
  await using server = await startServer(answering(ok));
  await using dns = await startDns({ "two.test": { a: ["127.0.0.2", "127.0.0.1"] } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const pool = dialler.pool(new URL(`http://two.test:${server.port}`), { connections: 1 });
  assert.equal((await dialler.request(pool, getWithin())).status, 200);
  await pool.close();
});

test("localhost leads to the opened loopback network without a question to DNS", async () => {
  await using server = await startServer(answering(ok));
  await using dns = await startDns({ localhost: { a: ["93.184.216.34"] } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const pool = dialler.pool(new URL(`http://localhost:${server.port}`), { connections: 1 });
  assert.equal((await dialler.request(pool, getWithin())).status, 200);
  assert.deepEqual(dns.questions, []);
  await pool.close();
});

test("HTTP keeps off the ports of other protocols also where only a name leads there, other protocols do not", async () => {
  await using dns = await startDns({ "db.test": { a: ["1.1.1.1"] } });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const { kind } = await dialler.check(new URL("https://db.test:6379/"));
  assert.equal(kind, "forbidden");
  assert.equal((await dialler.check(new URL("amqps://db.test:5672/"), ["amqps:"])).kind, "allowed");
});

test("an operator's word for one port opens no other", async () => {
  await using server = await startServer(answering(ok));
  const dialler = openDialler({ allowedNetworks: parseAllowedNetworks(`127.0.0.1/32:${server.port}`) });
  (await dialler.socket("127.0.0.1", server.port)).destroy();
  const other = server.port === 65_535 ? 65_534 : server.port + 1;
  assert.equal((await dialErrorOf(dialler.socket("127.0.0.1", other))).code, "blocked_address");
});

test("a closed port is a failure of the other side", async () => {
  const closed = await startServer(() => {});
  await closed[Symbol.asyncDispose]();
  const { code, ours, message } = await dialErrorOf(openDialler().socket("127.0.0.1", closed.port));
  assert.deepEqual(
    { code, ours, message },
    { code: "connect", ours: false, message: "could not connect: ECONNREFUSED" },
  );
});

test("a dial ends when its signal aborts, also while DNS is silent", async () => {
  await using dns = await startDns({ "silent.test": "silent" });
  const dialler = openDialler({ dnsServers: [dns.address] });
  const late = await dialErrorOf(dialler.socket("silent.test", 443, { signal: AbortSignal.timeout(20) }));
  assert.deepEqual([late.code, late.ours], ["timeout", false]);
  const stopped = await dialErrorOf(dialler.socket("silent.test", 443, { signal: AbortSignal.abort() }));
  assert.deepEqual([stopped.code, stopped.ours], ["timeout", true]);
});

test("errors of a connection are told by cause, and ours from theirs", () => {
  const table: [string, boolean, DialErrorCode, boolean][] = [
    ["ECONNREFUSED", false, "connect", false],
    ["EHOSTUNREACH", false, "connect", false],
    ["ETIMEDOUT", false, "connect", false],
    ["EMFILE", false, "connect", true],
    ["ENFILE", false, "connect", true],
    ["ENETUNREACH", false, "connect", true],
    ["EADDRNOTAVAIL", false, "connect", true],
    ["ECONNRESET", false, "connect", false],
    ["ECONNRESET", true, "tls", false],
    ["CERT_HAS_EXPIRED", true, "tls", false],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", true, "tls", false],
    ["ERR_TLS_CERT_ALTNAME_INVALID", true, "tls", false],
    ["ERR_SSL_WRONG_VERSION_NUMBER", true, "tls", false],
  ];
  for (const [word, encrypting, code, ours] of table) {
    const error = connectError(Object.assign(new Error("10.0.0.1"), { code: word }), encrypting);
    assert.deepEqual([error.code, error.ours], [code, ours], word);
    assert.ok(error.message.endsWith(word));
  }
});
