import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, startCommand } from "./support/command.ts";
import { startReceiver } from "./support/receiver.ts";
import { ask } from "./support/server.ts";

const key = `k1:${Buffer.alloc(32, 7).toString("base64")}`;

/** A folder that is removed at the end. */
const newFolder = async () => {
  const path = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) };
};

const startDev = async (cwd: string, args: readonly string[] = []) => {
  const dev = startCommand(["dev", ...args], { cwd, env: { POSTRIDER_KEYS: key } });
  const [, url = ""] = await dev.until(/^Postgres +(postgres:\S+)$/m);
  await dev.until(/^ready$/m);
  return Object.assign(dev, { url });
};

test("dev delivers, is healthy, keeps its data over a restart, and Ctrl-C stops all of it", async () => {
  await using folder = await newFolder();
  await using receiver = await startReceiver();
  {
    await using dev = await startDev(folder.path);
    await ask(dev.url, "select outbox.create_destination(type => 'webhook', config => $1)", [{ url: receiver.url }]);
    await ask(dev.url, "insert into outbox.events (topic, payload) values ('order.paid', '{\"n\": 1}')");
    assert.equal((await receiver.next()).rawBody.toString(), '{"n": 1}');

    await dev.until(/"outcome":"delivered"/);
    const env = { DATABASE_URL: dev.url, POSTRIDER_KEYS: key };
    const doctor = await runCommand(["doctor"], { env });
    assert.equal(doctor.code, 0, doctor.stdout);
    assert.match(doctor.stdout, /^ok +workers +1 worker alive/m);
    assert.match(doctor.stdout, /\nHealthy: 0 problems/);

    dev.child.kill("SIGINT");
    const { code, stderr } = await dev.ended;
    assert.equal(code, 0, stderr);
    await assert.rejects(ask(dev.url, "select 1"), /ECONNREFUSED/);
  }
  assert.equal(await readFile(join(folder.path, ".postrider", ".gitignore"), "utf8"), "*\n");
  await using again = await startDev(folder.path);
  await ask(again.url, "insert into outbox.events (topic, payload) values ('order.paid', '{\"n\": 2}')");
  assert.equal((await receiver.next()).rawBody.toString(), '{"n": 2}');
  assert.equal((await ask(again.url, "select from outbox.events")).length, 2);
  again.child.kill("SIGTERM");
  assert.equal((await again.ended).code, 0);
});

test("dev says who has its folder or its port", async () => {
  await using folder = await newFolder();
  await using first = await startDev(folder.path, ["--data", "mine"]);
  assert.ok(existsSync(join(folder.path, "mine")));
  const sameFolder = await runCommand(["dev", "--data", "mine"], { cwd: folder.path });
  assert.equal(sameFolder.code, 1);
  assert.match(sameFolder.stderr, /^postrider: Postgres already runs in .*\[POSTRIDER_EMBEDDED_FAILED\]$/m);
  const samePort = await runCommand(["dev", "--data", "other", "--port", new URL(first.url).port], {
    cwd: folder.path,
  });
  assert.equal(samePort.code, 1);
  assert.match(samePort.stderr, /^postrider: Port \d+ is taken: .*\[POSTRIDER_EMBEDDED_FAILED\]$/m);
});
