import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { parseAllowedNetworks } from "../src/addresses.ts";
import { readConfig } from "../src/config.ts";
import { createLog } from "../src/log.ts";
import { startWorker } from "../src/worker.ts";
import { type RunningCommand, startProgram } from "./support/command.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { addDestination } from "./support/factory.ts";
import { startReceiver } from "./support/receiver.ts";

const root = join(import.meta.dirname, "..");
const graphileWorker = join(root, "node_modules", ".bin", "graphile-worker");
const index = pathToFileURL(join(root, "src", "index.ts")).href;
const toThisMachine = { POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };

/** A task of a user: it leaves a trace in the database. */
const noteTask = `export default async ({ text }, { query }) => {
  await query("insert into public.notes (text) values ($1)", [text]);
};`;
const addNote = "select graphile_worker.add_job('note', $1::json)";

/** A user's project with these files, and graphile-worker to run in it. */
async function project(files: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  for (const [name, content] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return {
    folder,
    run: (db: TestDatabase): RunningCommand =>
      startProgram(process.execPath, [graphileWorker], {
        cwd: folder,
        env: { ...toThisMachine, DATABASE_URL: db.url },
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const preset = (worker: string) => `import { postrider } from ${JSON.stringify(index)};
export default { extends: [postrider()], ${worker} };`;

/** The program is asked to stop, and leaves nothing locked. */
const stop = async (program: RunningCommand, db: TestDatabase) => {
  program.child.kill("SIGTERM");
  const { stderr } = await program.ended;
  assert.deepEqual(await db.lockedJobs(), [], stderr);
  assert.deepEqual(await db.query("select from outbox.workers"), [], stderr);
};

test("the plain graphile-worker migrates an empty database and delivers, with a preset of one line", async () => {
  await using db = await testDatabase({ migrated: false });
  await using receiver = await startReceiver();
  await using user = await project({ "graphile.config.ts": preset("") });
  await using program = user.run(db);
  await db.until("select to_regclass('outbox.workers') as found", [], ({ found }) => found !== null);
  await db.until("select from outbox.workers");
  await addDestination(db, { config: { url: receiver.url } });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{\"n\": 1}')");
  assert.equal((await receiver.next()).rawBody.toString(), '{"n": 1}');
  await db.until("select from outbox.deliveries where status = 'delivered'");
  await stop(program, db);
});

test("beside our deliveries the plain graphile-worker runs the tasks of the user's own folder", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await db.query("create table public.notes (text text)");
  await using user = await project({
    "graphile.config.ts": preset("worker: { taskDirectory: import.meta.dirname + '/tasks' }"),
    "tasks/note.js": noteTask,
  });
  await addDestination(db, { config: { url: receiver.url } });
  await using program = user.run(db);
  await db.query(addNote, ['{"text": "mine"}']);
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  await receiver.waitFor(1);
  assert.deepEqual(await db.until("select text from public.notes"), { text: "mine" });
  await stop(program, db);
});

test("startWorker runs the tasks of the user's preset beside our deliveries", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await db.query("create table public.notes (text text)");
  await using user = await project({ "tasks/note.js": noteTask });
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startWorker({
    connectionString: db.url,
    config: { ...readConfig({}), allowHttp: true, allowedNetworks: parseAllowedNetworks("127.0.0.1/32") },
    log: createLog("silent"),
    preset: { worker: { taskDirectory: join(user.folder, "tasks") } },
  });
  await db.query(addNote, ['{"text": "mine"}']);
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  await receiver.waitFor(1);
  assert.deepEqual(await db.until("select text from public.notes"), { text: "mine" });
  await worker.stop();
  assert.deepEqual(await db.lockedJobs(), []);
});
