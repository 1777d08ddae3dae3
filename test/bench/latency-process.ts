/**
 * A receiver in a process of its own that tells when each event came, by its id; those of paths that begin with /count are
 * only counted, and those of /slow/MS are answered after so many milliseconds. Sends `{ port }`, then
 * `{ arrivals: [[id, epoch milliseconds], ...], counted, slow }` five times a second.
 */
import { createServer } from "node:http";

const arrivals: [string, number][] = [];
let counted = 0;
let slow = 0;
const server = createServer({ keepAliveTimeout: 120_000 }, ({ url = "", headers }, response) => {
  const at = performance.timeOrigin + performance.now();
  const slowMs = /^\/slow\/(\d+)/.exec(url)?.[1];
  if (slowMs !== undefined) slow += 1;
  else if (url.startsWith("/count")) counted += 1;
  else arrivals.push([String(headers["webhook-id"]), at]);
  response.req.resume().once("end", () => {
    if (slowMs === undefined) response.end("ok");
    else setTimeout(() => response.end("ok"), Number(slowMs));
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : undefined });
  setInterval(() => process.send?.({ arrivals: arrivals.splice(0), counted, slow }), 200);
});
process.once("disconnect", () => process.exit(0));
process.once("SIGTERM", () => process.exit(0));
