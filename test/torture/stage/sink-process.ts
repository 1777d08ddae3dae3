/** A webhook sink: checks what comes, writes it down, and answers in the manner of the hour. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { CanaryEntry } from "../stage.ts";
import { arrivalOf, canaryLedgerOf, ledgerOf } from "./arrival.ts";
import type { CertificateName } from "./authority.ts";
import { appendEntry } from "./ledger.ts";
import { answers, hasEvent } from "./manners.ts";
import { carryOut } from "./orders.ts";
import { isSignedWith } from "./signatures.ts";
import type { SinkOrder, SinkPlace, SinkState } from "./webhook_sink.ts";

/** The port may still be taken by what the process before has left. */
const listenForMs = 10_000;
const listenAgainMs = 50;

let place: SinkPlace;
let state: SinkState;
let listening: { readonly certificate: CertificateName; readonly close: () => Promise<void> } | undefined;

const take = (request: IncomingMessage, response: ServerResponse, body: Buffer): void => {
  const { manner, secrets } = state;
  if (hasEvent[manner]) {
    const signature = isSignedWith(secrets, request.headers, body) ? "good" : "bad";
    const arrival = arrivalOf(place.name, String(request.headers["webhook-id"]), body, signature);
    appendEntry(join(place.folder, ledgerOf(place.name)), arrival);
  }
  answers[manner](response, place);
};

/** Whoever sends a request there has not looked at the certificate. */
const tell = (): void => {
  const entry: CanaryEntry = { at: Date.now(), address: place.host, port: place.port };
  appendEntry(join(place.folder, canaryLedgerOf(place.name)), entry);
};

const listenerFor =
  (certificate: CertificateName): RequestListener =>
  (request, response) => {
    if (certificate !== "good") tell();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => take(request, response, Buffer.concat(chunks)));
  };

const listenAt = async (server: Server): Promise<void> => {
  for (const startedAt = performance.now(); ; await pause(listenAgainMs)) {
    try {
      server.listen(place.port, place.host);
      await once(server, "listening");
      return;
    } catch (error) {
      if (performance.now() - startedAt > listenForMs) throw error;
    }
  }
};

const createServerWith = (certificate: CertificateName): Server => {
  if (place.certificates === undefined) return createServer(listenerFor(certificate));
  const [key, cert] = ["key", "pem"].map((kind) =>
    readFileSync(join(place.certificates ?? "", `${certificate}.${kind}`)),
  );
  return createTlsServer({ key, cert }, listenerFor(certificate));
};

/** A server of its own for each certificate: what was agreed on with one before says nothing of it. */
const listenWith = async (certificate: CertificateName): Promise<void> => {
  await listening?.close();
  const server = createServerWith(certificate);
  const sockets = new Set<Socket>();
  server.keepAliveTimeout = 120_000;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
  });
  await listenAt(server);
  const close = async (): Promise<void> => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  };
  listening = { certificate, close };
};

carryOut(async ({ place: newPlace, state: newState }: SinkOrder) => {
  place = newPlace;
  state = newState;
  if (listening?.certificate !== state.certificate) await listenWith(state.certificate);
});
