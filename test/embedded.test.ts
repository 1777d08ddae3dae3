import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { startPostgres } from "../src/embedded.ts";
import { ask } from "./support/server.ts";

const execute = promisify(execFile);
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), `postrider_test_${process.pid}_`));
  folders.push(folder);
  return folder;
}

const isRoot = process.getuid?.() === 0;
const starter = join(import.meta.dirname, "support", "start-postgres.ts");

test("data outlives an orderly restart, and the port stays the same", async () => {
  const dataDir = newFolder();
  const first = await startPostgres({ dataDir });
  await ask(first.url, "create table kept (id int)");
  await first.stop();
  await using second = await startPostgres({ dataDir });
  assert.equal(second.url, first.url);
  assert.deepEqual(await ask(second.url, "select * from kept"), []);
});

test("a server that was killed recovers what was committed, with every way to stop it", async () => {
  await using server = await startPostgres({ dataDir: newFolder() });
  await ask(server.url, "create table kept (how text)");
  for (const how of ["fast", "immediate", "kill"] as const) {
    await ask(server.url, "insert into kept values ($1)", [how]);
    await server.stop(how);
    await server.restart();
  }
  process.kill(server.pid, "SIGKILL");
  await server.restart();
  assert.equal((await ask(server.url, "select from kept")).length, 3);
});

test("a lock file whose pid belongs to another program now does not hinder the start", async () => {
  const dataDir = newFolder();
  await (await startPostgres({ dataDir })).stop();
  writeFileSync(join(dataDir, "pgdata", "postmaster.pid"), `${process.pid}\n${dataDir}/pgdata\n`);
  await using server = await startPostgres({ dataDir });
  assert.equal((await ask(server.url, "select")).length, 1);
});

test("a taken port is refused with the remedy", async () => {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  assert(typeof address === "object" && address !== null);
  const { port } = address;
  await assert.rejects(startPostgres({ dataDir: newFolder(), port, durable: false }), {
    code: "POSTRIDER_EMBEDDED_FAILED",
    message: `Port ${port} is taken: choose another one, or stop what listens there.`,
  });
  listener.close();
});

test("a data directory in use is refused with the pid of its server", async () => {
  const dataDir = newFolder();
  await using server = await startPostgres({ dataDir, durable: false });
  await assert.rejects(startPostgres({ dataDir, durable: false }), {
    code: "POSTRIDER_EMBEDDED_FAILED",
    message: new RegExp(`already runs in ${dataDir} \\(pid ${server.pid}\\)`),
  });
});

test("a setting that Postgres does not know is refused with the server's own words", async () => {
  const settings = { no_such_setting: "1" };
  await assert.rejects(startPostgres({ dataDir: newFolder(), durable: false, settings }), /no_such_setting/);
});

test("a bin folder without Postgres is refused with the remedy", async () => {
  await assert.rejects(startPostgres({ dataDir: newFolder(), binDir: "/nowhere" }), {
    code: "POSTRIDER_EMBEDDED_MISSING",
    message: /name the bin folder of a Postgres installation/,
  });
});

test("neither the language nor the time zone of the caller reaches the server", async () => {
  const env = { PATH: process.env.PATH, LC_ALL: "xx_YY", LANG: "xx_YY", TZ: "Mars/Base", PGDATA: "/nowhere" };
  const { stdout } = await execute(process.execPath, [starter, newFolder()], { env });
  assert.match(stdout, /UTF8 UTC/);
});

test("the server ends with a process that is killed", {
  skip: whenNot(process.platform === "linux", "only Linux tells"),
}, async () => {
  const dataDir = newFolder();
  const killed = execute(process.execPath, [starter, dataDir, "--kill-myself"]);
  await assert.rejects(killed, { signal: "SIGKILL" });
  await using server = await startPostgres({ dataDir });
  assert.equal((await ask(server.url, "select")).length, 1);
});

test("a normal user starts it without root's help", {
  skip: whenNot(isRoot, "only root can become nobody"),
}, async (t) => {
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const reachable = await works("setpriv", [...nobody, process.execPath, "--check", starter]);
  if (!reachable) return t.skip("nobody may not read this folder");
  const folder = newFolder();
  chmodSync(folder, 0o777);
  const { stdout } = await execute("setpriv", [...nobody, process.execPath, starter, folder]);
  assert.match(stdout, /UTF8 UTC/);
});

test("root starts it below a folder that is root's alone", { skip: whenNot(isRoot, "we are not root") }, async () => {
  const { stdout } = await execute(process.execPath, [starter, privateFolder()]);
  assert.match(stdout, /UTF8 UTC/);
});

test("root starts it there also where user namespaces are forbidden", {
  skip: whenNot(isRoot && (await works("unshare", ["--mount", "true"])), "we may not mount"),
}, async () => {
  const root = newFolder();
  const script = 'mount --rbind / "$1" && shift && exec chroot "$0" "$@"';
  const command = [process.execPath, starter, privateFolder()];
  const { stdout } = await execute("unshare", ["--mount", "sh", "-c", script, root, root, ...command]);
  assert.match(stdout, /UTF8 UTC/);
  folders.push(stdout.trim().split(" ").pop() ?? root);
});

/** A data directory below one that only its owner may enter. */
function privateFolder(): string {
  const folder = newFolder();
  chmodSync(folder, 0o700);
  return join(folder, "data");
}

function whenNot(condition: boolean, reason: string): string | false {
  return condition ? false : reason;
}

async function works(command: string, args: string[]): Promise<boolean> {
  return await execute(command, args).then(
    () => true,
    () => false,
  );
}
