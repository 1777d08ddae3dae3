/**
 * Runs in a network namespace of its own in which every address is this machine, with one listener on all of them. It
 * tries every spelling with the guard and without it, and prints as JSON which addresses really were connected to.
 */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Pool } from "undici";
import { parseAllowedNetworks, unmapped } from "../../src/addresses.ts";
import { createDialler, DialError, type Dialler } from "../../src/outbound.ts";
import { startDns } from "../support/dns.ts";
import { embedded, forbiddenUrls, publicIpv4, publicIpv6 } from "./spellings.ts";

/** What the lab found. */
export interface LabReport {
  /** Addresses that were connected to, by the URLs that did it; without the guard and with it. */
  readonly unguarded: Record<string, number>;
  readonly guarded: Record<string, number>;
  /** Forbidden URLs that the guard did not refuse as such, with what happened instead. */
  readonly notRefused: readonly string[];
  /** Public URLs that were not answered with 200, with what happened instead. */
  readonly notReached: readonly string[];
  readonly publicReached: Record<string, number>;
  readonly rebinding: readonly string[];
  readonly names: Record<string, string>;
  readonly nameHits: Record<string, number>;
  /** A port of another protocol at a public address, where nobody listens: by HTTP, and as a plain socket. */
  readonly otherPort: readonly string[];
  /** Check after connecting: the outcome, who was connected to, and how many bytes arrived there. */
  readonly afterConnect: { readonly outcome: string; readonly peer: string; readonly bytes: number };
}

const port = 8080;
/** Read when a connection comes, because a closed socket has forgotten both. */
let arrivals: { readonly address: string; readonly remotePort: number | undefined }[] = [];

const onConnection = (socket: Socket): void => {
  arrivals.push({ address: unmapped(socket.localAddress ?? "gone"), remotePort: socket.remotePort });
  socket.on("error", () => socket.destroy());
  socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
};

const server = createServer(onConnection).listen(port, "::");
await once(server, "listening");

/** How often `work` connected to which address. */
const watching = async (work: () => Promise<void>): Promise<Record<string, number>> => {
  arrivals = [];
  await work();
  // Connections are accepted in order: once this one is, all that were made before it are counted.
  const probe = connect(port, "127.0.0.1");
  await once(probe, "connect");
  const probePort = probe.localPort;
  while (!arrivals.some(({ remotePort }) => remotePort === probePort)) await once(server, "connection");
  probe.destroy();
  const hits: Record<string, number> = {};
  for (const { address, remotePort } of arrivals) {
    if (remotePort !== probePort) hits[address] = (hits[address] ?? 0) + 1;
  }
  return hits;
};

const get = { method: "GET", path: "/", headers: {} } as const;

const unguardedGet = async (text: string): Promise<void> => {
  if (!URL.canParse(text)) return;
  const pool = new Pool(new URL(text).origin, { connections: 1, connect: { timeout: 500 } });
  await pool.request({ ...get, signal: AbortSignal.timeout(1_000) }).then(
    ({ body }) => body.text(),
    () => "",
  );
  await pool.destroy();
};

/** `refused` when both the check and the dial refuse, else what happened. */
const guardedGet = async (dialler: Dialler, text: string): Promise<string> => {
  if (!URL.canParse(text)) return "refused";
  const url = new URL(text);
  const verdict = await dialler.check(url);
  const pool = dialler.pool(url, { connections: 1 });
  const dialled = await dialler.request(pool, { ...get, signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => `status ${status}`,
    (error: unknown) => (error instanceof DialError ? error.code : String(error)),
  );
  await pool.destroy();
  if (verdict.kind === "forbidden" && dialled === "blocked_address") return "refused";
  return `${verdict.kind}, ${dialled}`;
};

const inBatches = async (texts: readonly string[], work: (text: string) => Promise<void>): Promise<void> => {
  for (let at = 0; at < texts.length; at += 32) await Promise.all(texts.slice(at, at + 32).map(work));
};

const zone = {
  "public.test": { a: ["93.184.216.34"] },
  "private.test": { a: ["10.0.0.1"] },
  "loopback6.test": { aaaa: ["::1"] },
  "mapped.test": { aaaa: ["::ffff:7f00:1"] },
  "nat64.test": { aaaa: ["64:ff9b::a9fe:a9fe"] },
  "mixed.test": { a: ["93.184.216.34", "10.0.0.1"] },
  "mixed6.test": { a: ["93.184.216.34"], aaaa: ["fd00::1"] },
  "cname.test": { cname: "metadata.internal", a: ["169.254.169.254"] },
  "public-cname.test": { cname: "edge.example.com", a: ["1.1.1.1"] },
  "rebind.test": [{ a: ["93.184.216.34"] }, { a: ["127.0.0.1"] }],
  "metadata.internal": { a: ["93.184.216.34"] },
};

const tryNames = async (dialler: Dialler): Promise<Record<string, string>> => {
  const outcomes: Record<string, string> = {};
  for (const name of Object.keys(zone)) {
    if (name !== "rebind.test") outcomes[name] = await guardedGet(dialler, `http://${name}:${port}/`);
  }
  return outcomes;
};

/** The first lookup is the check's, all later ones are dials. */
const tryRebinding = async (dialler: Dialler): Promise<string[]> => {
  const url = new URL(`http://rebind.test:${port}/`);
  const { kind } = await dialler.check(url);
  const dialled = await dialler.socket(url.hostname, port).then(
    () => "connected",
    (error: DialError) => error.code,
  );
  return [kind, dialled];
};

const tryOtherPort = async (dialler: Dialler): Promise<string[]> => {
  const http = await guardedGet(dialler, "http://93.184.216.34:5672/");
  const plain = await dialler.socket("93.184.216.34", 5672).then(
    () => "connected",
    (error: DialError) => error.code,
  );
  return [http, plain];
};

/** The kernel dials 127.0.0.1 for 0.0.0.0, so opening only the latter passes every check but the last one. */
const tryAfterConnect = async (): Promise<LabReport["afterConnect"]> => {
  const dialler = createDialler({ allowHttp: true, allowedNetworks: parseAllowedNetworks("0.0.0.0/32") });
  const pool = dialler.pool(new URL(`http://0.0.0.0:${port}`), { connections: 1 });
  const arrival = once(server, "connection") as Promise<[Socket]>;
  const outcome = await dialler.request(pool, { ...get, signal: AbortSignal.timeout(2_000) }).then(
    ({ status }) => `status ${status}`,
    (error: unknown) => (error instanceof DialError ? error.code : String(error)),
  );
  const [socket] = await arrival;
  await pool.destroy();
  if (!socket.closed) await once(socket, "close");
  return { outcome, peer: unmapped(socket.localAddress ?? "127.0.0.1"), bytes: socket.bytesRead };
};

const run = async (): Promise<LabReport> => {
  await using dns = await startDns(zone);
  const dialler = createDialler({ allowHttp: true, allowedNetworks: [], dnsServers: [dns.address] });
  const forbidden = forbiddenUrls(port);
  const reachable = [
    ...publicIpv4.map((address) => `http://${address}:${port}/`),
    ...[...publicIpv6, ...publicIpv4.slice(0, 4).map((address) => embedded(address)[0])].map(
      (address) => `http://[${address}]:${port}/`,
    ),
  ];
  const notRefused: string[] = [];
  const notReached: string[] = [];
  let names: Record<string, string> = {};
  let rebinding: string[] = [];
  const unguarded = await watching(() => inBatches(forbidden, unguardedGet));
  const guarded = await watching(() =>
    inBatches(forbidden, async (text) => {
      const outcome = await guardedGet(dialler, text);
      if (outcome !== "refused") notRefused.push(`${JSON.stringify(text)}: ${outcome}`);
    }),
  );
  const publicReached = await watching(() =>
    inBatches(reachable, async (text) => {
      const outcome = await guardedGet(dialler, text);
      if (outcome !== "allowed, status 200") notReached.push(`${text}: ${outcome}`);
    }),
  );
  const nameHits = await watching(async () => {
    rebinding = await tryRebinding(dialler);
    names = await tryNames(dialler);
  });
  const otherPort = await tryOtherPort(dialler);
  const afterConnect = await tryAfterConnect();
  server.close();
  return {
    unguarded,
    guarded,
    notRefused,
    notReached,
    publicReached,
    rebinding,
    names,
    nameHits,
    otherPort,
    afterConnect,
  };
};

process.stdout.write(JSON.stringify(await run()));
