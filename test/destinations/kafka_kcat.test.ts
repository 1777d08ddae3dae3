/** librdkafka, by its command kcat, reads what we send; and it agrees that the broker of the tests is one. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { destination as kafka } from "../../src/destinations/kafka.ts";
import { openDestination } from "../support/contract.ts";
import { startKafka } from "../support/kafka/broker.ts";

const missing = spawnSync("kcat", ["-V"]).error !== undefined;
const inCi = process.env.CI === "true";
const skip = missing && !inCi && "needs kcat (Debian: apt-get install kcat)";

/** Runs kcat to its end. */
async function kcat(args: readonly string[], input = ""): Promise<string> {
  if (missing) throw new Error("kcat is not installed, and CI=true does without no test: apt-get install kcat");
  const child = spawn("kcat", args, { timeout: 20_000 });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const keys = Array.from({ length: 20 }, (_, n) => `key ${n} é`);

test("kcat consumes what is delivered", { skip }, async () => {
  for (const compression of ["none", "gzip"]) {
    await using broker = await startKafka({ topics: { orders: 1 } });
    const config = { brokers: [broker.address], topic: "orders", tls: false, compression };
    await using destination = await openDestination(kafka, config);
    await destination.deliverBatch(keys.map((key, n) => ({ key, payload: `{"n":${n}}` })));
    const read = ["-C", "-b", broker.address, "-t", "orders", "-p", "0", "-o", "beginning", "-e", "-q"];
    const lines = (await kcat([...read, "-f", "%o %T %k %s %h\n"])).trimEnd().split("\n");
    const headers =
      "content-type=application/json,id=01890a5d-ac96-774b-bcce-b302099a8057,topic=order.paid,tenant=acme";
    const time = Date.parse("2026-01-02T03:04:05.678Z");
    assert.deepEqual(
      lines,
      keys.map((key, n) => `${n} ${time} ${key} {"n":${n}} ${headers}`),
    );
  }
});

test("keys are placed as librdkafka and the Java client place them", { skip }, async () => {
  await using broker = await startKafka({ topics: { orders: 7 } });
  const settings = ["-X", "topic.partitioner=murmur2", "-X", "enable.idempotence=true", "-z", "gzip"];
  const lines = keys.map((key) => `${key}:kcat\n`).join("");
  await kcat(["-P", "-b", broker.address, "-t", "orders", "-K", ":", ...settings], lines);
  await using destination = await openDestination(kafka, { brokers: [broker.address], topic: "orders", tls: false });
  await destination.deliverBatch(keys.map((key) => ({ key })));
  const placesOf = (value: string) =>
    Object.fromEntries(
      broker.records.items.filter((record) => record.value === value).map(({ key, partition }) => [key, partition]),
    );
  assert.equal(Object.keys(placesOf("kcat")).length, keys.length);
  assert.deepEqual(placesOf("{}"), placesOf("kcat"));
});
