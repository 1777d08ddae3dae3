/** The npm scripts of the README that no other test runs, in a clone where they write. */
import assert from "node:assert/strict";
import { cp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { builtInTypes } from "../src/registry.ts";
import { scenarioNames } from "./scenarios/run.ts";
import { startProgram } from "./support/command.ts";
import { brokerMissing } from "./support/rabbitmq.ts";
import { root, temporaryFolder } from "./support/readme.ts";

/** A clone, so that nobody's files are touched. */
const clone = async () => {
  const folder = await temporaryFolder();
  for (const name of ["package.json", "tsconfig.json", ".biome.jsonc", "src", "sql", "test"]) {
    const filter = (path: string) => !path.includes("node_modules");
    await cp(join(root, name), join(folder.path, name), { recursive: true, filter });
  }
  await symlink(join(root, "node_modules"), join(folder.path, "node_modules"));
  return folder;
};

/** Runs an npm script to its end, and returns what it wrote. */
const npm = async (cwd: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  await using program = startProgram("npm", args, { cwd, env });
  const { code, stdout, stderr } = await program.ended;
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
};

test("npm run format mends what is formatted wrongly", async () => {
  await using folder = await clone();
  const file = join(folder.path, "src", "wrong.ts");
  await writeFile(file, "export const a = 'b'");
  await npm(folder.path, ["run", "format"]);
  assert.equal(await readFile(file, "utf8"), 'export const a = "b";\n');
});

test("npm run dump writes the snapshot of the schema", async () => {
  await using folder = await clone();
  const file = join(folder.path, "test", "sql", "snapshot.sql");
  await rm(file);
  await npm(folder.path, ["run", "dump"], { DATABASE_URL: process.env.POSTRIDER_TEST_SERVER ?? "" });
  assert.match(await readFile(file, "utf8"), /^table events /m);
});

test("npm run demo -- --all brings one order to a destination of every type", async () => {
  const stdout = await npm(root, ["run", "demo", "--", "--all"]);
  const types = await builtInTypes();
  const here = brokerMissing === undefined ? types : types.filter(({ type }) => type !== "rabbitmq");
  for (const { type } of here) assert.match(stdout, new RegExp(`^ +${type} .* order\\.paid +\\{`, "m"));
  assert.match(stdout, new RegExp(`^All ${here.length} received it, once`, "m"));
});

test("npm run bench prints a ratio", async () => {
  const stdout = await npm(root, ["run", "bench", "--", "drain", "--smoke"]);
  const figures = /\{"postrider":[\d.]+,"undici":[\d.]+,"ratio":[\d.]+\}/.source;
  assert.match(stdout, new RegExp(`^drain \\{"running":${figures},"cold":${figures}\\}$`, "m"));
});

test("npm run scenario lists the scenarios, and measures the one that is named", async () => {
  const listed = await npm(root, ["run", "scenario"]);
  for (const name of await scenarioNames()) assert.match(listed, new RegExp(`^${name} +\\S`, "m"));
  const stdout = await npm(root, ["run", "scenario", "--", "limits", "--smoke"]);
  assert.match(stdout, /^limits \{"ratePerSecond":200,.*"openMax":5,/m);
});
