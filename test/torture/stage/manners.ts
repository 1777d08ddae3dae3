/** How a sink answers, well or badly. */
import type { ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import type { Manner } from "../stage.ts";

/** What an answer may depend on. */
export interface Circumstances {
  /** When the sender gives up. */
  readonly deadlineMs: number;
  /** Somewhere nobody may be sent to. */
  readonly elsewhere: string;
}

const slowMsMin = 300;
const slowMsMax = 1_500;
const lateMs = 300;
const dripEveryMs = 100;
const endlessEveryMs = 20;
const endlessChunk = "more and more ".repeat(100);

type Answer = (response: ServerResponse, circumstances: Circumstances) => void;

const respond = (response: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void => {
  response.writeHead(status, { ...headers, "content-length": "2" }).end("ok");
};

const acceptAfter = (ms: number, response: ServerResponse): void => {
  const timer = setTimeout(respond, ms, response, 200);
  response.once("close", () => clearTimeout(timer));
};

/** Again and again until the connection is gone. */
const repeatedly = (ms: number, response: ServerResponse, write: () => void): void => {
  const timer = setInterval(write, ms);
  response.once("close", () => clearInterval(timer));
};

const reset: Answer = ({ socket }) => {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket?.resetAndDestroy();
};

export const answers: Readonly<Record<Manner, Answer>> = {
  well: (response) => respond(response, 200),
  failing: (response) => respond(response, 500),
  busy: (response) => respond(response, 429, { "retry-after": "1" }),
  slow: (response) => acceptAfter(slowMsMin + Math.random() * (slowMsMax - slowMsMin), response),
  late: (response, { deadlineMs }) => acceptAfter(deadlineMs + lateMs, response),
  dripping: (response) => {
    response.socket?.write("HTTP/1.1 200 OK\r\nX-Patience: ");
    repeatedly(dripEveryMs, response, () => response.socket?.write("a"));
  },
  endless: (response) => {
    response.writeHead(200);
    response.write(endlessChunk);
    repeatedly(endlessEveryMs, response, () => response.writableNeedDrain || response.write(endlessChunk));
  },
  silent: () => {},
  resetting: reset,
  lying: reset,
  redirecting: (response, { elsewhere }) => respond(response, 302, { location: elsewhere }),
  garbage: (response) => response.socket?.end("\u0016\u0003 this is not HTTP\r\n\r\n"),
};

/** Whether the sink has the event, whatever the sender learns of it: what it refuses or never looks at it has not. */
export const hasEvent: Readonly<Record<Manner, boolean>> = {
  well: true,
  slow: true,
  late: true,
  endless: true,
  lying: true,
  failing: false,
  busy: false,
  dripping: false,
  silent: false,
  resetting: false,
  redirecting: false,
  garbage: false,
};
