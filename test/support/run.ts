/**
 * The one test command: `npm test`, `npm test -- test/sql/filter.test.ts --test-name-pattern=refuses`. It gives all
 * test files one Postgres server, which is an embedded one or that of DATABASE_URL, and cleans up after them. A flag of
 * `node --test` keeps its value behind a `=`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism, constants } from "node:os";
import { openServer } from "./server.ts";

/** Tests wait for rows and sockets more than they compute. */
const concurrency = availableParallelism() + 1;
/** For a single test: what takes longer hangs. */
const testTimeoutMs = 120_000;

const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith("-"));
const files = args.filter((arg) => !arg.startsWith("-"));

/** A test sees its own settings, not those of whoever runs it; POSTRIDER_TEST_* is meant for tests. */
function testEnvironment(server: { url: string; run: string }): NodeJS.ProcessEnv {
  const isForeign = (name: string) => /^(DATABASE_URL|PG.*|POSTRIDER_(?!TEST_).*)$/.test(name);
  const kept = Object.entries(process.env).filter(([name]) => !isForeign(name));
  return { ...Object.fromEntries(kept), POSTRIDER_TEST_SERVER: server.url, POSTRIDER_TEST_RUN: server.run };
}

/** The exit code of `node --test`; a signal to us goes to it, and we end when it has ended. */
async function runTests(env: NodeJS.ProcessEnv, interrupted: Promise<NodeJS.Signals>): Promise<number> {
  const defaults = [`--test-concurrency=${concurrency}`, `--test-timeout=${testTimeoutMs}`, "--test-reporter=spec"];
  const patterns = files.length > 0 ? files : ["test/**/*.test.ts"];
  const child = spawn(process.execPath, ["--test", ...defaults, ...flags, ...patterns], { stdio: "inherit", env });
  void interrupted.then((signal) => child.kill(signal));
  const [code, signal] = await once(child, "exit");
  return code ?? 128 + constants.signals[signal as NodeJS.Signals];
}

const interrupted = new Promise<NodeJS.Signals>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, resolve);
});

try {
  await using server = await openServer(process.env.DATABASE_URL);
  console.log(`Tests run on ${server.description}`);
  process.exitCode = await runTests(testEnvironment(server), interrupted);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
