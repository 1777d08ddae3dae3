import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Agent, request } from "undici";
import { startReceiver } from "./receiver.ts";

test("a request is remembered with its method, path, headers and exact bytes", async () => {
  await using receiver = await startReceiver();
  await request(`${receiver.url}/a?b=c`, { method: "POST", headers: { "x-id": "7" }, body: '{"price": 1.10}' });
  const [received] = receiver.requests;
  assert.equal(received?.method, "POST");
  assert.equal(received?.path, "/a?b=c");
  assert.equal(received?.headers["x-id"], "7");
  assert.equal(received?.rawBody.toString(), '{"price": 1.10}');
});

test("a request is recorded before it is answered", async () => {
  const seen: number[] = [];
  await using receiver = await startReceiver({ respond: () => void seen.push(receiver.count) });
  await request(receiver.url);
  assert.deepEqual(seen, [1]);
});

test("next returns each request once, in order", async () => {
  await using receiver = await startReceiver();
  const first = receiver.next();
  await request(`${receiver.url}/1`);
  await request(`${receiver.url}/2`);
  assert.equal((await first).path, "/1");
  assert.equal((await receiver.next()).path, "/2");
});

test("waitFor ends when the last of n requests has come, until when one fits", async () => {
  await using receiver = await startReceiver();
  const three = receiver.waitFor(3);
  const second = receiver.until(({ path }) => path === "/2");
  for (const n of [1, 2, 3]) await request(`${receiver.url}/${n}`);
  assert.equal((await three).length, 3);
  assert.equal((await second).path, "/2");
});

test("whoever waits is told when the receiver closes", async () => {
  const receiver = await startReceiver();
  const waiting = assert.rejects(receiver.next(), /Closed while waiting for item 1; 0 arrived/);
  await receiver.close();
  await waiting;
});

test("the answer is what the test says: a status, headers and a body, a broken connection", async () => {
  await using receiver = await startReceiver({ respond: () => 503 });
  assert.equal((await request(receiver.url)).statusCode, 503);
  receiver.respondWith(async () => ({ status: 429, headers: { "retry-after": "9" }, body: "slow down" }));
  const answer = await request(receiver.url);
  assert.equal(answer.headers["retry-after"], "9");
  assert.equal(await answer.body.text(), "slow down");
  receiver.respondWith(() => "reset");
  await assert.rejects(request(receiver.url), { code: "ECONNRESET" });
});

test("a request that is left open counts as open until its connection ends", async () => {
  await using receiver = await startReceiver({ respond: () => "open" });
  const patience = new AbortController();
  const hanging = request(receiver.url, { signal: patience.signal });
  await receiver.next();
  assert.equal(receiver.openRequests, 1);
  patience.abort();
  await assert.rejects(hanging, { name: "AbortError" });
});

test("connections are kept alive", async () => {
  await using receiver = await startReceiver();
  const dispatcher = new Agent({ connections: 1 });
  for (let i = 0; i < 5; i++) await (await request(receiver.url, { dispatcher })).body.dump();
  await dispatcher.close();
  assert.equal(receiver.connections, 1);
});

test("the ledger has a line for each request", async () => {
  const folder = mkdtempSync(join(tmpdir(), "receiver-"));
  const ledger = join(folder, "ledger.jsonl");
  await using receiver = await startReceiver({ ledger, record: "count" });
  await request(receiver.url, { headers: { "webhook-id": "msg_1" } });
  assert.equal(JSON.parse(readFileSync(ledger, "utf8")).headers["webhook-id"], "msg_1");
  assert.deepEqual(receiver.requests, []);
  rmSync(folder, { recursive: true });
});
