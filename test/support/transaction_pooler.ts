/**
 * A pooler in transaction mode, as small as can be: all clients share one session of the server, which each holds for the
 * length of a transaction. `await using pooler = await startTransactionPooler(url);`
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** The type and the bytes of each whole message of the protocol, and what is left. */
const split = (bytes: Buffer): { messages: { type: string; whole: Buffer }[]; rest: Buffer } => {
  const messages = [];
  let at = 0;
  while (bytes.length - at >= 5 && bytes.length - at >= 1 + bytes.readInt32BE(at + 1)) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    messages.push({ type: String.fromCharCode(bytes[at] ?? 0), whole: bytes.subarray(at, end) });
    at = end;
  }
  return { messages, rest: bytes.subarray(at) };
};

const authenticationOk = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]);
const isIdle = (whole: Buffer): boolean => whole[5] === "I".charCodeAt(0);

/** Starts it on 127.0.0.1, before the server of a database URL. */
export const startTransactionPooler = async (databaseUrl: string) => {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const upstream = connect(Number(target.port), target.hostname).on("error", () => {});
  sockets.add(upstream);
  /** What the server said when the first client had logged in: each later one is told the same. */
  const greeting: Buffer[] = [authenticationOk];
  let isGreeted = false;
  let holder: Socket | undefined;
  const waiting: { client: Socket; bytes: Buffer }[] = [];

  const next = (): void => {
    if (holder !== undefined) return;
    holder = waiting[0]?.client;
    for (const { client, bytes } of waiting.splice(0)) {
      if (client === holder) upstream.write(bytes);
      else waiting.push({ client, bytes });
    }
  };
  let answer: Buffer = Buffer.alloc(0);
  upstream.on("data", (chunk) => {
    const { messages, rest } = split(Buffer.concat([answer, chunk]));
    answer = rest;
    for (const { type, whole } of messages) {
      holder?.write(whole);
      if (!isGreeted && "SK".includes(type)) greeting.push(whole);
      if (type !== "Z" || !isIdle(whole)) continue;
      if (!isGreeted) greeting.push(whole);
      isGreeted = true;
      holder = undefined;
      next();
    }
  });

  const serve = (client: Socket): void => {
    sockets.add(client);
    client.on("error", () => client.destroy()).on("close", () => sockets.delete(client));
    let asked: Buffer = Buffer.alloc(0);
    let isStarted = false;
    client.on("data", (chunk) => {
      if (!isStarted && isGreeted) {
        isStarted = true;
        client.write(Buffer.concat(greeting));
        return;
      }
      if (!isGreeted) {
        isStarted = true;
        holder = client;
        upstream.write(chunk);
        return;
      }
      const { messages, rest } = split(Buffer.concat([asked, chunk]));
      asked = rest;
      const bytes = Buffer.concat(messages.filter(({ type }) => type !== "X").map(({ whole }) => whole));
      if (holder === client) upstream.write(bytes);
      else if (bytes.length > 0) waiting.push({ client, bytes });
      next();
    });
  };
  const server = createServer(serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  target.port = String(typeof address === "object" ? address?.port : 0);
  return {
    url: target.href,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
