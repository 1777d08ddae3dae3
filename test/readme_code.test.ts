/** The README's TypeScript and JavaScript, as it stands. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Ended, startProgram } from "./support/command.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { block, blocks, root } from "./support/readme.ts";
import { startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

const [config = "", worker = ""] = blocks("ts");
const [createDestination = "", insertEvent = ""] = blocks("sql");
const toThisMachine = { POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };

let folder: string;
/** A user's project, in which "postrider" is this clone's source. */
let project: string;

const compilerOptions = {
  ...{ strict: true, noEmit: true, target: "es2024", lib: ["es2024", "esnext.disposable"], module: "nodenext" },
  ...{ types: ["node"], skipLibCheck: true, allowImportingTsExtensions: true },
};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
  project = join(folder, "project");
  const files = {
    "postrider/package.json": '{ "name": "postrider", "type": "module", "exports": "./index.ts" }',
    "postrider/index.ts": `export * from ${JSON.stringify(join(root, "src", "index.ts"))};\n`,
    "project/package.json": '{ "type": "module" }',
    "project/tsconfig.json": JSON.stringify({ compilerOptions, include: ["*.ts"] }),
    "project/graphile.config.ts": config,
    "project/worker.ts": worker,
    "project/tasks/note.js": "export default () => {};\n",
    "project/verify.js": `const { rawBody, headers } = JSON.parse(process.env.REQUEST);
const request = { headers };\n${block("js")}console.log("verified");\n`,
  };
  await mkdir(join(project, "tasks"), { recursive: true });
  await mkdir(join(project, "node_modules"));
  await mkdir(join(folder, "postrider"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  await symlink(join(folder, "postrider"), join(project, "node_modules", "postrider"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
});
after(() => rm(folder, { recursive: true, force: true }));

const start = (program: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
  startProgram(process.execPath, [program, ...args], { cwd: project, env });
const run = async (...command: Parameters<typeof start>): Promise<Ended> => {
  await using program = start(...command);
  return await program.ended;
};
const installed = (name: string): string => join(root, "node_modules", ".bin", name);

test("the README's TypeScript has no errors of type", async () => {
  assert.equal(blocks("ts").length, 2);
  const { code, stdout } = await run(installed("tsc"), ["--project", project]);
  assert.equal(code, 0, stdout);
});

/** The README's example with a receiver on this machine in the place of the ERP. */
const insertExample = async (db: TestDatabase, url: string): Promise<void> => {
  assert.ok(createDestination.includes("https://erp.example.com/events"));
  await db.query(createDestination.replace("https://erp.example.com/events", url));
  await db.query(insertEvent);
};

const workers = [
  ["the plain graphile-worker delivers with the README's graphile.config.ts", installed("graphile-worker")],
  ["the README's own process delivers, until SIGTERM", "worker.ts"],
] as const;
for (const [promise, program] of workers) {
  test(promise, async () => {
    await using db = await testDatabase();
    await using receiver = await startReceiver();
    await using running = start(program, [], { ...toThisMachine, DATABASE_URL: db.url });
    await insertExample(db, receiver.url);
    const request = await Promise.race([receiver.next(), running.ended.then(({ stderr }) => assert.fail(stderr))]);
    assert.equal(request.rawBody.toString(), '{"order": 1, "total": 12.50}');
    await db.until("select from outbox.deliveries where status = 'delivered'");
    running.child.kill("SIGTERM");
    const { stderr } = await running.ended;
    assert.deepEqual(await db.lockedJobs(), [], stderr);
  });
}

test("the README's lines for receivers verify a delivery, and no other body", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await using _worker = await startTestWorker(db);
  await insertExample(db, receiver.url);
  const { rawBody, headers } = await receiver.next();
  const [, SECRET = ""] = /"signing_secret": "(\w+)"/.exec(createDestination) ?? [];
  const verify = (body: string) =>
    run("verify.js", [], { SECRET, REQUEST: JSON.stringify({ rawBody: body, headers }) });
  assert.deepEqual(await verify(rawBody.toString()), { code: 0, signal: null, stdout: "verified\n", stderr: "" });
  assert.match((await verify('{"order": 1, "total": 1}')).stderr, /WebhookVerificationError/);
});
