/** Receivers that want to hurt: each path of the server answers in one hostile way, below what an HTTP server would allow. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";

export interface HostileAnswer {
  /** The code of the attempt, or `delivered` where the status line decides. */
  readonly expected: string;
  readonly answer: (socket: Socket) => void;
  /** It never ends by itself. */
  readonly hangs?: boolean;
}

const head = (status: string, headers: readonly string[] = []): string =>
  [`HTTP/1.1 ${status}`, "connection: close", ...headers, "", ""].join("\r\n");

const sayAll =
  (...parts: readonly (string | Buffer)[]) =>
  (socket: Socket): void => {
    for (const part of parts) socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part);
    socket.end();
  };

/** NUL, half a character as UTF-8, CESU and WTF-8 have it, a byte that no UTF-8 has, controls, right-to-left override. */
const poison = Buffer.from("a\u0000b\x1b[2J\x7f\u202e", "utf8");
const surrogates = Buffer.from([0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80, 0xff, 0xfe, 0xc0, 0x80]);
const escapes = Buffer.from('{"error": "\\u0000 \\ud800 \\udc00"}');

const endlessBytes = 100 * 1024 * 1024;
const chunk = Buffer.alloc(64 * 1024, "x");
/** Writes as much as is taken, up to 100 MB. */
const flood = (socket: Socket): void => {
  socket.write(head("500 Flood", [`content-length: ${endlessBytes}`]));
  let written = 0;
  const more = (): void => {
    while (written < endlessBytes) {
      written += chunk.length;
      if (!socket.write(chunk)) return;
    }
    socket.end();
  };
  socket.on("drain", more);
  more();
};

const repeatEveryMs =
  (ms: number, text: string, first = "") =>
  (socket: Socket): void => {
    if (first !== "") socket.write(first);
    const timer = setInterval(() => socket.write(text), ms);
    socket.once("close", () => clearInterval(timer));
  };

export const hostileAnswers: Readonly<Record<string, HostileAnswer>> = {
  nul_in_body: { expected: "http_status", answer: sayAll(head("500 No"), poison) },
  nul_in_body_of_success: { expected: "delivered", answer: sayAll(head("200 OK"), poison, surrogates) },
  surrogates_in_body: { expected: "http_status", answer: sayAll(head("500 No"), surrogates) },
  escapes_in_json: {
    expected: "http_status",
    answer: sayAll(head("500 No", ["content-type: application/json"]), escapes),
  },
  surrogates_in_header: {
    expected: "http_status",
    answer: sayAll(head("500 No", [`server: ${surrogates.toString("latin1")}`, `x-request-id: ${"é".repeat(2_000)}`])),
  },
  nul_in_header: { expected: "protocol", answer: sayAll(head("500 No", ["server: a\u0000b"])) },
  surrogates_in_reason: { expected: "http_status", answer: sayAll(head(`500 ${surrogates.toString("latin1")}`)) },
  nul_in_reason: { expected: "http_status", answer: sayAll(head("500 a\u0000b")) },
  garbage: { expected: "protocol", answer: sayAll(surrogates, poison, "\r\n\r\n") },
  other_protocol: { expected: "protocol", answer: sayAll("SSH-2.0-OpenSSH_9.2\r\n") },
  status_of_four_digits: { expected: "protocol", answer: sayAll(head("2000 OK")) },
  huge_header: { expected: "protocol", answer: sayAll(head("500 No", [`x: ${"y".repeat(200_000)}`])) },
  retry_after_of_nonsense: {
    expected: "http_status",
    answer: sayAll(head("503 Busy", ["retry-after: 1e999, NaN, -1"])),
  },
  flood: { expected: "http_status", answer: flood },
  gzip_bomb: {
    expected: "http_status",
    answer: sayAll(head("500 No", ["content-encoding: gzip"]), gzipSync(Buffer.alloc(endlessBytes))),
  },
  not_gzip: { expected: "http_status", answer: sayAll(head("500 No", ["content-encoding: gzip"]), poison) },
  closed_without_answer: { expected: "reset", answer: (socket) => socket.destroy() },
  reset_in_status_line: {
    expected: "reset",
    answer: (socket) => socket.write("HTTP/1.1 2", () => setImmediate(() => socket.resetAndDestroy())),
  },
  silence: { expected: "timeout", hangs: true, answer: () => {} },
  endless_early_hints: {
    expected: "timeout",
    hangs: true,
    answer: repeatEveryMs(50, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
  },
  dripping_header: { expected: "timeout", hangs: true, answer: repeatEveryMs(50, "x", "HTTP/1.1 200 OK\r\nx: ") },
  dripping_body: {
    expected: "delivered",
    hangs: true,
    answer: repeatEveryMs(50, "x", head("200 OK", ["content-length: 1000000"])),
  },
};

export interface HostileServer extends AsyncDisposable {
  readonly url: string;
}

/** Starts the server on 127.0.0.1. */
export const startHostileServer = async (): Promise<HostileServer> => {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
    socket.once("data", (request: Buffer) => {
      const name = /^POST \/(\w+) /.exec(request.toString("latin1"))?.[1] ?? "";
      hostileAnswers[name]?.answer(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
