/**
 * Runs a command with DATABASE_URL at a server of another Postgres, which is made for it and deleted afterwards:
 * `node src/launch.mjs --node test/support/with-postgres.ts /usr/lib/postgresql/15/bin npm test`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { testServer } from "./server.ts";

const [binDir, command, ...args] = process.argv.slice(2);
if (binDir === undefined || command === undefined) {
  console.error("Usage: with-postgres.ts <folder with postgres and initdb> <command> [arguments]");
  process.exit(2);
}

await using server = await testServer({ binDir });
const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, DATABASE_URL: server.url } });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
const [code] = await once(child, "exit");
process.exitCode = code ?? 1;
