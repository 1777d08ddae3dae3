/**
 * The one test command: `npm test`, `npm test -- test/sql/filter.test.ts --test-name-pattern=refuses`. It gives all
 * test files one Postgres server, which is an embedded one or that of DATABASE_URL, and cleans up after them. A flag of
 * `node --test` keeps its value behind a `=`.
 */
import { openServer } from "./server.ts";
import { firstSignal, runTests } from "./terminal.ts";

const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith("-"));
const files = args.filter((arg) => !arg.startsWith("-"));

/** A test sees its own settings, not those of whoever runs it; POSTRIDER_TEST_* is meant for tests. */
function testEnvironment(server: { url: string; run: string }): NodeJS.ProcessEnv {
  const isForeign = (name: string) => /^(DATABASE_URL|PG.*|POSTRIDER_(?!TEST_).*)$/.test(name);
  const kept = Object.entries(process.env).filter(([name]) => !isForeign(name));
  return { ...Object.fromEntries(kept), POSTRIDER_TEST_SERVER: server.url, POSTRIDER_TEST_RUN: server.run };
}

const interrupted = firstSignal();

try {
  await using server = await openServer(process.env.DATABASE_URL);
  console.log(`Tests run on ${server.description}`);
  const patterns = files.length > 0 ? files : ["test/**/*.test.ts"];
  process.exitCode = await runTests(patterns, flags, { env: testEnvironment(server), interrupted });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
