/** What servers may do to a worker: prove who they are by TLS, and nothing bad when they are not Postgres. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as postgres } from "../../src/destinations/postgres.ts";
import { startServer } from "../outbound/servers.ts";
import { createCertificate, withoutOpenssl as skip } from "../support/certificate.ts";
import { openDestination } from "../support/contract.ts";
import { testServer } from "../support/database.ts";
import { startDns } from "../support/dns.ts";
import { openInbox } from "../support/inbox.ts";

const summaryOf = (outcome: Outcome): string => ("code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind);

const secrets = { username: ["writer"], password: ["the password"] };
const config = { host: "127.0.0.1", database: "shop", tls: false };

/** A message of a server: type, length, content. */
const message = (type: string, ...content: readonly (string | number)[]): Buffer => {
  const body = Buffer.concat(
    content.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([0, 0, 0, part]))),
  );
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};

const authenticated = message("R", 0);
const ready = message("Z", "I");
const login = Buffer.concat([authenticated, message("K", 1, 2), ready]);

/** Answers the login so, and each statement so. */
const answering = (first: Buffer, then: Buffer) => (socket: Socket) => {
  let answer = first;
  socket.on("data", () => {
    socket.write(answer);
    answer = then;
  });
};

const inserted = Buffer.concat([message("1"), message("2"), message("n"), message("C", "INSERT 0 1\0"), ready]);

interface Row {
  readonly name: string;
  readonly expected: string;
  readonly reason?: RegExp;
  readonly respond: (socket: Socket) => void;
  readonly tls?: true;
}

const servers: readonly Row[] = [
  { name: "messages of a login and an insert", respond: answering(login, inserted), expected: "delivered" },
  {
    name: "messages byte by byte, with notices between them",
    respond: (socket) => {
      const notice = message("N", "SNOTICE\0Mhello\0\0");
      socket.once("data", () => {
        for (const byte of Buffer.concat([notice, login])) socket.write(Buffer.from([byte]));
        socket.on("data", () => socket.write(Buffer.concat([notice, inserted])));
      });
    },
    expected: "delivered",
  },
  {
    name: "HTTP",
    respond: answering(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), ready),
    expected: "retry: protocol",
  },
  {
    name: "an error without an end",
    respond: answering(message("E", "SERROR\0C57P03\0"), ready),
    expected: "retry: protocol",
  },
  { name: "an error without anything", respond: answering(message("E"), ready), expected: "retry: protocol" },
  {
    name: "a message with an impossible length",
    respond: answering(Buffer.from("R\0\0\0\x01\0\0\0\0"), ready),
    expected: "retry: protocol",
  },
  {
    name: "a message of two gigabytes",
    respond: answering(Buffer.from("E\x7f\xff\xff\xff", "latin1"), ready),
    expected: "retry: protocol",
  },
  { name: "a message that is cut short", respond: answering(message("K", 1), ready), expected: "retry: protocol" },
  { name: "an unknown login", respond: answering(message("R", 99), ready), expected: "retry: protocol" },
  {
    name: "a login that we do not speak",
    respond: answering(message("R", 10, "OAUTHBEARER\0\0"), ready),
    expected: "retry: auth_failed",
  },
  {
    name: "a login that never ends well",
    respond: answering(message("R", 10, "SCRAM-SHA-256\0\0"), message("R", 11, "r=x,s=eA==,i=2000000000")),
    expected: "retry: auth_failed",
  },
  { name: "rows nobody asked for", respond: answering(login, message("D", 1)), expected: "retry: protocol" },
  {
    name: "a result without an end",
    respond: answering(login, message("C", "INSERT 0 1")),
    expected: "retry: protocol",
  },
  {
    name: "an error code that is none",
    respond: answering(login, Buffer.concat([message("E", "SERROR\0C<b>&x\0Mx\0\0"), ready])),
    expected: "retry: unavailable",
  },
  { name: "an end after the login", respond: closing(login), expected: "retry: reset" },
  { name: "an end before TLS", respond: closing(Buffer.alloc(0)), tls: true, expected: "retry: tls" },
  { name: "no to TLS", respond: answering(Buffer.from("N"), ready), tls: true, expected: "retry: tls" },
  {
    name: "text that was slipped in before TLS",
    respond: answering(Buffer.concat([Buffer.from("S"), login]), ready),
    tls: true,
    expected: "retry: tls",
    reason: /does not speak TLS/,
  },
];

/** Sends its answer to the first bytes; closes at the next ones, or at once when it has no answer. */
function closing(first: Buffer) {
  return (socket: Socket): void => {
    socket.once("data", () => {
      if (first.length === 0) socket.destroy();
      else socket.write(first);
      socket.once("data", () => socket.destroy());
    });
  };
}

for (const { name, respond, tls, expected, reason } of servers) {
  test(`a server that answers ${name}: ${expected}`, async () => {
    await using server = await startServer(respond);
    const given = { ...config, port: Number(server.origin.port), tls: tls ?? false };
    await using destination = await openDestination(postgres, given, { secrets });
    const outcome = await destination.deliver({}, { signal: AbortSignal.timeout(5_000) });
    assert.equal(summaryOf(outcome), expected, JSON.stringify(outcome));
    if (reason !== undefined) assert.match("reason" in outcome ? outcome.reason : "", reason);
    assert.doesNotMatch(JSON.stringify(outcome), /the password|<b>/);
    if (outcome.kind !== "delivered") await server.idle();
  });
}

test("the certificate of the server is verified against its name", { skip }, async () => {
  const [certificate, other] = [createCertificate("DNS:db.test"), createCertificate("DNS:db.test")];
  await using server = await testServer();
  await using inbox = await openInbox(server);
  await useTls(inbox.db, certificate);
  await using dns = await startDns({ "db.test": { a: ["127.0.0.1"] }, "other.test": { a: ["127.0.0.1"] } });
  const deliverTo = async (host: string, ca?: string) => {
    const given = { ...inbox.config, host, tls: true, ...(ca !== undefined && { ca }) };
    const options = { secrets: inbox.secrets, dnsServers: [dns.address], allowHttp: false };
    await using destination = await openDestination(postgres, given, options);
    const outcome = await destination.deliver();
    if (outcome.kind === "delivered") {
      const sql = "select bool_and(ssl) as ssl from pg_stat_ssl join pg_stat_activity using (pid) where usename = $1";
      assert.deepEqual(await inbox.db.query(sql, [inbox.role]), [{ ssl: true }]);
    }
    return summaryOf(outcome);
  };
  assert.equal(await deliverTo("db.test", certificate.cert), "delivered");
  assert.equal(await deliverTo("other.test", certificate.cert), "retry: tls");
  assert.equal(await deliverTo("127.0.0.1", certificate.cert), "retry: tls");
  assert.equal(await deliverTo("db.test", other.cert), "retry: tls");
  assert.equal(await deliverTo("db.test"), "retry: tls");
  const broken = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
  assert.equal(await deliverTo("db.test", broken), "retry: tls");
});

/** Gives a running server a certificate; it writes the files itself, so that they are its own. */
async function useTls(db: { query: (sql: string, params?: unknown[]) => Promise<unknown> }, certificate: Pem) {
  await db.query(`create table public.pem (line text)`);
  for (const name of ["cert", "key"] as const) {
    await db.query("truncate public.pem");
    await db.query("insert into public.pem select unnest(string_to_array($1, E'\\n'))", [certificate[name].trim()]);
    await db.query(`copy public.pem to program 'umask 077 && cat > server.${name}'`);
    const setting = name === "cert" ? "ssl_cert_file" : "ssl_key_file";
    await db.query(`alter system set ${setting} = 'server.${name}'`);
  }
  await db.query("alter system set ssl = on");
  await db.query("select pg_reload_conf()");
}

interface Pem {
  readonly cert: string;
  readonly key: string;
}
