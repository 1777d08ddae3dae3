/** Every command in the README is run: here, or by the test that this table names. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, startCommand } from "./support/command.ts";
import { testDatabase } from "./support/database.ts";
import { blocks, codeIn, environmentNames, prose, root, temporaryFolder } from "./support/readme.ts";
import { ask } from "./support/server.ts";

const here = "test/readme_commands.test.ts";
const scripts = "test/readme_scripts.test.ts";

/** Which file covers a command, and the words in it that do. */
const coverage: readonly { commands: readonly string[]; file: string; words: readonly string[] }[] = [
  {
    commands: ["npm ci", "npm test", "npm run check"],
    file: ".ci/run",
    words: ["npm ci", "npm test", "npm run check"],
  },
  { commands: ["npm run demo"], file: "test/demo.test.ts", words: ['runCommand(["demo"])'] },
  { commands: ["npm run demo -- --all"], file: scripts, words: ['\ntest("npm run demo -- --all'] },
  {
    commands: ["DATABASE_URL=postgres://owner@billing.internal/billing npx postrider inbox install"],
    file: "test/inbox.test.ts",
    words: ['"inbox", "install"'],
  },
  { commands: ["npx postrider dev --port 5433"], file: here, words: ['\ntest("dev serves'] },
  { commands: ["npm install postrider"], file: "test/package.test.ts", words: ['"npm", ["install"', '"npx"'] },
  {
    commands: [
      "export DATABASE_URL=postgres://postrider@db.internal/shop",
      ...["npx postrider migrate", "npx postrider work", "npx postrider doctor"],
    ],
    file: here,
    words: ['\ntest("migrate, work and doctor'],
  },
  { commands: ["npm run format"], file: scripts, words: ['\ntest("npm run format'] },
  { commands: ["npm run dump"], file: scripts, words: ['\ntest("npm run dump'] },
  { commands: ["npm run bench", "npm run bench -- drain --smoke"], file: scripts, words: ['\ntest("npm run bench'] },
  {
    commands: ["npm run scenario", "npm run scenario -- limits --smoke"],
    file: scripts,
    words: ['\ntest("npm run scenario'],
  },
  {
    commands: [
      "npm run torture",
      ...["--mutants", "--profile slice", "--only postgres_killed"].map((options) => `npm run torture -- ${options}`),
    ],
    file: ".ci/run",
    words: ["npm run torture -- --profile slice"],
  },
  { commands: ["npm run test:servers"], file: "test/servers.test.ts", words: ['"npm", ["run", "test:servers"]'] },
  { commands: ["postrider secret <destination id>"], file: "test/cli.test.ts", words: ['runCommand(["secret", id'] },
  { commands: ["docker compose up"], file: "test/readme_names.test.ts", words: ['\ntest("docker-compose.yml runs'] },
];

/** Lines of shell blocks, each with its comment. */
const lines = blocks("sh").flatMap((text) => text.trim().split("\n"));
const spoken = codeIn(prose).filter((code) => /^(npm|npx|node|docker|postrider) /.test(code));
const commands = new Set([...lines.flatMap((line) => line.replace(/ +#.*/, "").split(" && ")), ...spoken]);

test("the table of commands knows each command of the README, and no other", () => {
  assert.deepEqual(commands, new Set(coverage.flatMap((row) => row.commands)));
});

test("each command is in the file that the table names", async () => {
  for (const { commands: covered, file, words } of coverage) {
    const text = await readFile(join(root, file), "utf8");
    for (const word of words) assert.ok(text.includes(word), `${covered}: ${word}`);
  }
});

test("each npm script of the README is one, and the files that it runs are there", async () => {
  const { scripts: known } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const named = [...commands].flatMap((command) => /^npm (?:run ([\w:]+)|(test))/.exec(command)?.slice(1) ?? []);
  for (const name of named.filter(Boolean)) {
    assert.equal(typeof known[name], "string", name);
    for (const [file] of known[name].matchAll(/(?:src|test)\/\S+/g)) await access(join(root, file));
  }
});

test("an option that the README shows is one of its command", async () => {
  for (const line of lines) {
    const [, command] = /^npx postrider (\w+)/.exec(line) ?? [];
    if (command === undefined) continue;
    const { stdout } = await runCommand([command, "--help"]);
    for (const [option] of line.matchAll(/--\w[\w-]*/g)) assert.match(stdout, new RegExp(` ${option}\\b`), line);
  }
});

test("migrate, work and doctor run one after the other, from an empty database", async () => {
  await using db = await testDatabase({ migrated: false });
  const [, variable = ""] = /^export (\w+)=/.exec(lines.find((line) => line.startsWith("export ")) ?? "") ?? [];
  assert.ok(environmentNames.includes(variable));
  const options = { env: { [variable]: db.url } };
  assert.equal((await runCommand(["migrate", "--check"], options)).code, 1);
  assert.match((await runCommand(["migrate", "--dry-run"], options)).stdout, /changes would be applied/);
  assert.match((await runCommand(["migrate"], options)).stdout, /\nApplied \d+ changes\.\n$/);
  assert.equal((await runCommand(["migrate", "--check"], options)).code, 0);

  await using work = startCommand(["work"], options);
  await Promise.race([db.until("select from outbox.workers"), work.ended.then(({ stderr }) => assert.fail(stderr))]);
  const { stdout } = await runCommand(["doctor"], options);
  assert.match(stdout, /^ok +workers +1 worker alive/m);
  assert.match(stdout, /\n(Healthy|Unhealthy): \d+ problems?, \d+ warnings?\.\n$/);
  work.child.kill("SIGTERM");
  assert.equal((await work.ended).code, 0);
});

/** A port that nobody has at the moment. */
const freePort = async (): Promise<string> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return String(typeof address === "object" ? address?.port : undefined);
};

test("dev serves Postgres at the port that it is given", async () => {
  await using folder = await temporaryFolder();
  const port = await freePort();
  await using dev = startCommand(["dev", "--port", port], { cwd: folder.path });
  const [, url = ""] = await dev.until(/^Postgres +(postgres:\S+)$/m);
  await dev.until(/^ready$/m);
  assert.equal(new URL(url).port, port);
  assert.deepEqual(await ask(url, "select count(*)::int as n from outbox.deliveries"), [{ n: 0 }]);
  dev.child.kill("SIGTERM");
  assert.equal((await dev.ended).code, 0);
});
