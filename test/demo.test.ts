import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { judge, type Story } from "../src/demo/promises.ts";
import { createVerifier, verifyWithNode } from "../src/demo/verifier.ts";
import { runCommand, startCommand } from "./support/command.ts";
import { ask } from "./support/server.ts";

const demoMsMax = 60_000;
const sentences = [
  /^ {2}✓ Rolled back, not sent: 6 orders/m,
  /^ {2}✓ Committed, delivered: the events of all 18 /m,
  /^ {2}✓ Byte for byte/m,
  /^ {2}✓ Failed, tried again: erp refused 6 requests/m,
  /^ {2}✓ Filtered, not sent: .* got its 10 events, and none of the other 8/m,
  /^ {2}✓ Signed: the standardwebhooks library verified .* 52 requests/m,
  /^outbox\.events: 18 rows/m,
  /^outbox\.deliveries: 46 rows/m,
  /^outbox\.attempts: 52 rows/m,
  /^ +select \* from outbox\.destination_status;$/m,
];

test("the demo keeps each promise, twice at once, and leaves nothing behind", async () => {
  const startedAt = Date.now();
  const runs = await Promise.all([runCommand(["demo"]), runCommand(["demo"])]);
  assert.ok(Date.now() - startedAt < demoMsMax);
  for (const { code, stdout, stderr } of runs) {
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stderr, "");
    for (const sentence of sentences) assert.match(stdout, sentence);
    assert.doesNotMatch(stdout, /✗ /);
    const [, folder = ""] = /in (\/\S+), removed at the end/.exec(stdout) ?? [];
    assert.equal(existsSync(folder), false, folder);
  }
});

test("the demo's database can be kept, and is opened again by the command that it prints", async () => {
  const { code, stdout } = await runCommand(["demo", "--keep"]);
  assert.equal(code, 0, stdout);
  const [, folder = "", port = ""] = /npx postrider dev --data (\S+) --port (\d+)$/m.exec(stdout) ?? [];
  const [, url = ""] = /^ {2}psql (postgres:\S+)$/m.exec(stdout) ?? [];
  try {
    await using dev = startCommand(["dev", "--data", folder, "--port", port]);
    await dev.until(/^ready$/m);
    const queries = stdout.split("\n").filter((line) => /^ {4}select /.test(line));
    assert.equal(queries.length, 6);
    for (const query of queries) assert.ok((await ask(url, query)).length > 0, query);
    dev.child.kill("SIGTERM");
    assert.equal((await dev.ended).code, 0);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("Ctrl-C ends the demo, which cleans up", async () => {
  await using demo = startCommand(["demo"]);
  const [, folder = ""] = await demo.until(/in (\/\S+), removed at the end/);
  demo.child.kill("SIGINT");
  const { code, stdout } = await demo.ended;
  assert.equal(code, 130, stdout);
  assert.equal(existsSync(folder), false);
});

const orders = [
  { number: "A-1", total: "120.10", paid: true, payload: '{"order": "A-1", "total": 120.10}' },
  { number: "A-2", total: "7.50", paid: true, payload: '{"order": "A-2", "total": 7.50}' },
  { number: "A-3", total: "300", paid: false, payload: '{"order": "A-3", "total": 300}' },
];
const arrival = (n: number, at: number, status = 200) => ({
  at,
  eventId: `e${n}`,
  body: orders[n]?.payload ?? "",
  verified: true,
  status,
});
const story: Story = {
  orders,
  warehouse: [arrival(0, 1), arrival(1, 2)],
  erp: [arrival(0, 1, 503), arrival(1, 2), arrival(0, 2_100)],
  accounting: [arrival(0, 1)],
  accountingMin: 100,
  retryAfterMs: 2_000,
  verifiedBy: "it",
};

/** A story that breaks a promise, and which one: the first words of its sentence. */
const broken: readonly (readonly [string, string, Partial<Story>])[] = [
  ["an event of an order that was rolled back", "Rolled back", { warehouse: [...story.warehouse, arrival(2, 3)] }],
  ["a missing event", "Committed", { warehouse: story.warehouse.slice(1) }],
  ["a changed byte", "Byte for byte", { accounting: [{ ...arrival(0, 1), body: '{"order":"A-1","total":120.1}' }] }],
  ["no second try", "Failed", { erp: story.erp.slice(0, 2) }],
  ["a second try that comes too early", "Failed", { erp: [...story.erp.slice(0, 2), arrival(0, 1_000)] }],
  ["an event that should have been filtered out", "Filtered", { accounting: [arrival(0, 1), arrival(1, 2)] }],
  ["a signature that is wrong", "Signed", { warehouse: [...story.warehouse, { ...arrival(0, 3), verified: false }] }],
];
test("the demo sees when a promise is broken", async (t) => {
  assert.ok(judge(story).every(({ held }) => held));
  for (const [what, promise, change] of broken) {
    await t.test(what, () => {
      const judged = judge({ ...story, ...change }).find(({ sentence }) => sentence.startsWith(promise));
      assert.equal(judged?.held, false);
    });
  }
});

test("without the standardwebhooks library node:crypto verifies the same signatures", async () => {
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  const at = new Date();
  const headers = {
    "webhook-id": "e1",
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": new Webhook(secret).sign("e1", at, '{"n": 1}'),
  };
  for (const verify of [verifyWithNode, (await createVerifier()).verify]) {
    assert.equal(verify(secret, headers, '{"n": 1}'), true);
    assert.equal(verify(secret, headers, '{"n":1}'), false);
    assert.equal(verify(`whsec_${randomBytes(32).toString("base64")}`, headers, '{"n": 1}'), false);
  }
});
