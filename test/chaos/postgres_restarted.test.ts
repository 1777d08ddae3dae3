import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { testDatabase, testServer } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startProducers } from "./support/producers.ts";
import { startWorkerProcess } from "./support/worker.ts";

const outages = [
  { how: "restarted", mode: "fast", downMs: 0 },
  { how: "stopped as in a crash", mode: "immediate", downMs: 0 },
  { how: "killed", mode: "kill", downMs: 0 },
  { how: "killed and gone for longer than a worker's lease", mode: "kill", downMs: 12_000 },
] as const;

for (const { how, mode, downMs } of outages) {
  test(`nothing is lost when Postgres is ${how} under load, and the same worker goes on within 5 s`, async (t) => {
    await using server = await testServer({ durable: true });
    await using db = await testDatabase({ server });
    const slow = Promise.withResolvers<void>();
    await using receiver = await startReceiver({
      respond: ({ rawBody }) => (rawBody.includes("slow") ? slow.promise : pause(20)),
    });
    await addDestination(db, { config: { url: receiver.url } });
    await using worker = await startWorkerProcess(db.url);
    // A receiver that takes its time must not hold up the others.
    await addEvent(db, { payload: '{"slow": true}' });
    await receiver.waitFor(1);
    await using producers = startProducers(db.url);
    await receiver.waitFor(200);

    await server.stop(mode);
    await pause(downMs);
    await server.restart();
    const before = receiver.count;
    const goesOnMs = await within(5_000, "deliveries go on", () => receiver.count >= before + 50);

    slow.resolve();
    await receiver.waitFor(receiver.count + 200);
    await producers.stop();
    const settledMs = await untilAllDelivered(db, 30_000);
    const { events, extra } = await assertBooksAgree(db, receiver.requests, producers);
    t.diagnostic(`${goesOnMs} ms, settled ${settledMs} ms after the load; ${events} events, ${extra} extra arrivals`);
    assert.ok(worker.isAlive);
    await assertNothingHeld(db);
  });
}

test("a worker whose Postgres is gone stops all the same", async () => {
  await using server = await testServer();
  await using db = await testDatabase({ server });
  await using receiver = await startReceiver({ respond: () => "open" });
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startWorkerProcess(db.url);
  await addEvent(db);
  await receiver.waitFor(1);
  await server.stop("immediate");

  worker.signal("SIGTERM");
  const { code, signal, afterMs } = await worker.exit;

  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  assert.ok(afterMs < 12_000, `it took ${afterMs} ms`);
});
