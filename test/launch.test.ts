import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

/** Makes a Node say that it is an older one. */
const pretendOld = `--import=data:text/javascript,${encodeURIComponent(
  'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } });' +
    'Object.defineProperty(process, "version", { value: "v20.1.0" });',
)}`;

const platformNode = `node-${process.platform}-${process.arch}`;
const cli = `console.log(JSON.stringify({ args: process.argv.slice(2), pid: process.pid, file: import.meta.filename }));`;

/** A clone, or an installed package, with a command line that tells how it was called. */
function house(files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), "launch-"));
  for (const [name, content] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  mkdirSync(join(root, "src"), { recursive: true });
  copyFileSync(join(import.meta.dirname, "..", "src", "launch.mjs"), join(root, "src", "launch.mjs"));
  return {
    root,
    bringNode() {
      const bin = join(root, "node_modules", platformNode, "bin");
      mkdirSync(bin, { recursive: true });
      symlinkSync(process.execPath, join(bin, "node"));
      return bin;
    },
    launch(args: string[], nodeArgs: string[] = []) {
      const child = spawn(process.execPath, [...nodeArgs, join(root, "src", "launch.mjs"), ...args]);
      const ended = Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)]);
      return { child, result: ended.then(([[code, signal], stdout, stderr]) => ({ code, signal, stdout, stderr })) };
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true }),
  };
}

test("on a new enough Node the command line runs in the same process", async () => {
  using clone = house({ "src/cli.ts": cli });
  const { child, result } = clone.launch(["work", "--jobs", "5"]);
  const seen = JSON.parse((await result).stdout);
  assert.deepEqual(seen.args, ["work", "--jobs", "5"]);
  assert.equal(seen.pid, child.pid);
});

test("the published package runs what was built", async () => {
  using installed = house({ "dist/cli.js": cli });
  const { stdout } = await installed.launch(["doctor"]).result;
  assert.match(JSON.parse(stdout).file, /dist\/cli\.js$/);
});

test("on an older Node the one that was brought along runs it, first on the PATH", async () => {
  using clone = house({ "src/cli.ts": `${cli} console.log(process.env.PATH);` });
  const bin = clone.bringNode();
  const { child, result } = clone.launch(["dev"], [pretendOld]);
  const [json = "", path = ""] = (await result).stdout.split("\n");
  assert.deepEqual(JSON.parse(json).args, ["dev"]);
  assert.notEqual(JSON.parse(json).pid, child.pid);
  assert.ok(path.startsWith(`${bin}:`));
});

test("without a new enough Node it tells what to install", async () => {
  using clone = house({ "src/cli.ts": cli });
  const { code, stderr } = await clone.launch(["dev"], [pretendOld]).result;
  assert.equal(code, 1);
  assert.equal(
    stderr.trim(),
    `Postrider needs Node 24 or newer. This is v20.1.0, and no ${platformNode} is in node_modules: install Node 24.`,
  );
});

test("--node runs a script, and ends with its exit code", async () => {
  using clone = house({ "script.ts": "const code: number = 7; process.exit(code);" });
  clone.bringNode();
  const { code } = await clone.launch(["--node", join(clone.root, "script.ts")], [pretendOld]).result;
  assert.equal(code, 7);
});

test("a signal is handed on, and how the child ended is mirrored", async () => {
  using clone = house({ "src/cli.ts": 'setInterval(() => {}, 1_000); console.log("up");' });
  clone.bringNode();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const { child, result } = clone.launch([], [pretendOld]);
    await once(child.stdout, "data");
    child.kill(signal);
    assert.equal((await result).signal, signal);
  }
});
