import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { startWorkerProcess } from "./chaos/support/worker.ts";
import { testDatabase } from "./support/database.ts";

const script = join(import.meta.dirname, "psql.sh");
const missing = ["psql", "openssl"].filter((program) => spawnSync(program, ["--help"]).error !== undefined);
const skip = missing.length > 0 && `${missing.join(" and ")} not installed: test/psql.sh did not run`;

test("psql, openssl and a receiver are all that it takes to use Postrider", { skip }, async () => {
  await using db = await testDatabase();
  await using _worker = await startWorkerProcess(db.url);

  const { stdout } = await promisify(execFile)("sh", [script, db.url], { timeout: 60_000 });

  assert.deepEqual(stdout.trim().split("\n"), [
    "ok: the body is the payload",
    "ok: the id is the event's",
    "ok: the signature is right",
    "ok: the attempt is recorded",
    "ok: the delivery is done",
  ]);
});
