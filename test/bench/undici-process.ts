/**
 * The limit: the same POSTs with undici and nothing else, their headers as large as a webhook's, their answers read. Arguments:
 * URL, requests, concurrency, and how many come before the clock starts. Sends `{ seconds }`.
 */
import { Pool } from "undici";

const [, , target = "", requests = "", concurrency = "", warmUp = ""] = process.argv;
const url = new URL(target);
const headers = {
  "user-agent": "Postrider (+https://www.npmjs.com/package/postrider)",
  "content-type": "application/json",
  "webhook-id": "01a1fe22-648b-763a-9af9-0612033fcffb",
  "webhook-timestamp": "1795265029",
  "webhook-signature": `v1,${Buffer.alloc(32).toString("base64")}`,
};
const pool = new Pool(url.origin, { connections: Number(concurrency), pipelining: 1 });
let left = 0;
const post = async (): Promise<void> => {
  while (left > 0) {
    left -= 1;
    const body = `{"order_id": ${left}, "total": 12.50}`;
    const answer = await pool.request({ path: url.pathname, method: "POST", headers, body });
    await answer.body.text();
  }
};
const postAll = async (count: number): Promise<void> => {
  left = count;
  await Promise.all(Array.from({ length: Number(concurrency) }, post));
};
await postAll(Number(warmUp));
const startedAt = performance.now();
await postAll(Number(requests));
process.send?.({ seconds: (performance.now() - startedAt) / 1000 });
await pool.close();
process.disconnect();
