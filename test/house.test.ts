/** The house rules, read from the source and from the catalogue of a fresh database. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Files below a folder, as paths from the root. */
const filesOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => !path.includes("node_modules") && statSync(join(root, path)).isFile())
    .sort();
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const sources = filesOf("src").filter((path) => /\.(ts|mjs)$/.test(path));
const importPattern = /^(?:import|export)\s[^"'`;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;
const importsOf = (path: string): string[] =>
  [...read(path).matchAll(importPattern)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? "");
const localImportsOf = (path: string): string[] =>
  importsOf(path)
    .filter((name) => name.startsWith("."))
    .map((name) => relative("src", join(dirname(path), name)));

/** From the cellar up: what stands here may import only what stands further down. A folder is named with a slash. */
const allowed: readonly (readonly [files: string, why: string])[] = [
  [
    "errors.ts text.ts headers.ts addresses.ts log.ts batch.ts call.ts fifo.ts loop.ts http-pool.ts version.ts",
    "words and pure rules: they know nobody of us",
  ],
  ["dial-error.ts", "what the network did, in words of the table of codes"],
  [
    "secrets.ts targets.ts resolve.ts response.ts gate.ts fair-queue.ts embedded/",
    "one thing each, made of the words below",
  ],
  [
    "config.ts exchange.ts dial.ts database.ts embedded.ts graphile.ts claiming.ts",
    "doors to the environment, the network, Postgres, jobs; when to claim",
  ],
  ["outbound.ts clock.ts finding.ts", "the one way out; what is done by the clock; what doctor says"],
  ["destination.ts", "the contract needs the way out, and is all that a type knows"],
  [
    "outcome.ts rendering.ts notice.ts registry.ts queries/",
    "what speaks of the contract: outcomes, bodies, types, rows",
  ],
  ["protocols/", "what destination types need of a protocol, around its SDK"],
  [
    "destinations/ tasks/ connections.ts migrate.ts inbox.ts round-trips.ts intake.ts turns.ts",
    "the rooms, and what joins types to rows",
  ],
  ["inspection.ts sender.ts lane.ts doctor/", "what is done with connections and rows"],
  ["report.ts", "what is recorded of an attempt"],
  ["deliverer.ts", "claims, sends and records"],
  ["duties.ts doctor.ts", "lists of the above"],
  ["engine.ts", "composition root of a worker process"],
  ["preset.ts", "the engine as graphile-worker sees it"],
  ["task-list.ts worker.ts", "ways to run the preset"],
  ["index.ts development.ts", "ways to use the worker: embedding, and a database for development"],
  ["command.ts", "what all commands share: options, exit codes, what is printed"],
  ["demo/", "a shop that uses everything above"],
  ["commands/", "a command each"],
  ["cli.ts launch.mjs", "the front door"],
];

const floorOf = (path: string): number =>
  allowed.findIndex(([files]) =>
    files.split(" ").some((file) => (file.endsWith("/") ? path.startsWith(file) : path === file)),
  );

test("imports go downhill", () => {
  const wrong: string[] = [];
  for (const source of sources) {
    const path = relative("src", source);
    const floor = floorOf(path);
    if (floor === -1) wrong.push(`${path} has no place in the table of this test`);
    for (const imported of localImportsOf(source)) {
      const sameParts = /^(embedded|demo|protocols)\//.exec(path)?.[0];
      const isInside = sameParts !== undefined && imported.startsWith(sameParts);
      if (!isInside && floorOf(imported) >= floor) wrong.push(`${path} imports ${imported}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("each place in the table is taken", () => {
  const empty = allowed.flatMap(([files]) => files.split(" ")).filter((file) => !existsSync(join(root, "src", file)));
  assert.deepEqual(empty, []);
});

/** Folders of things that are alike: each is reached from its door, and knows nothing of its siblings. */
const rooms = ["destinations", "tasks", "queries", "commands", "doctor"];

test("files of one room never import each other", () => {
  const wrong = sources.flatMap((source) => {
    const room = dirname(relative("src", source));
    const siblings = localImportsOf(source).filter((imported) => dirname(imported) === room);
    return rooms.includes(room) ? siblings.map((sibling) => `${source} imports ${sibling}`) : [];
  });
  assert.deepEqual(wrong, []);
});

const contract = [
  "destination.ts",
  "outbound.ts",
  "headers.ts",
  "outcome.ts",
  "rendering.ts",
  "notice.ts",
  "errors.ts",
];
/** The SDK of a type, where it needs one. */
const sdks: Readonly<Record<string, readonly string[]>> = {
  sqs: ["@aws-sdk/client-sqs"],
  eventbridge: ["@aws-sdk/client-eventbridge"],
  kafka: ["kafkajs"],
  pubsub: ["@google-cloud/pubsub"],
};

test("destination types know the contract, zod, protocols and their SDK, and nothing else", () => {
  const wrong = sources
    .filter((path) => path.startsWith("src/destinations/"))
    .flatMap((path) => {
      const type = path.replace(/^.*\/|\.ts$/g, "");
      const known = ["zod", ...(sdks[type] ?? [])];
      const foreign = importsOf(path).filter((name) => !/^(\.|node:)/.test(name) && !known.includes(name));
      const others = localImportsOf(path).filter((name) => !contract.includes(name) && !name.startsWith("protocols/"));
      const isTypeOnly = /^import type \{[^}]*\} from "undici"/m.test(read(path));
      return [...foreign.filter((name) => name !== "undici" || !isTypeOnly), ...others].map(
        (name) => `${path} imports ${name}`,
      );
    });
  assert.deepEqual(wrong, []);
});

test("every destination type has a test", () => {
  const types = readdirSync(join(root, "src/destinations")).map((name) => name.replace(/\.ts$/, ""));
  assert.ok(types.includes("webhook"));
  assert.deepEqual(
    types.filter((type) => !existsSync(join(root, `test/destinations/${type}.test.ts`))),
    [],
  );
});

/** Who else may run SQL, and why. */
const runnersOfSql: Readonly<Record<string, string>> = {
  "src/database.ts": "asks the server how old it is, before anything else is known of it",
  "src/demo/shop.ts": "plays the user's application, which writes plain SQL",
  "src/inbox.ts": "runs sql/inbox.sql in the database that receives",
  "src/migrate.ts": "runs the files of sql/",
  "src/protocols/postgres-client.ts": "runs what a destination gives it in a database that is not ours",
};

test("SQL is run from src/queries/", () => {
  const runs = (path: string) => /\.query\s*[<(]|\bsql(?:<[^`]*>)?`\S* /.test(read(path));
  const runners = sources.filter((path) => !path.startsWith("src/queries/") && runs(path));
  assert.deepEqual(runners, Object.keys(runnersOfSql));
  assert.deepEqual(
    filesOf("src/queries").filter((path) => !runs(path)),
    [],
  );
});

/** Who else may read the environment, and why. */
const readersOfEnvironment: Readonly<Record<string, string>> = {
  "src/config.ts": "turns it into one frozen value",
  "src/launch.mjs": "hands it on to the process that it starts",
};

test("only the config reads the environment", () => {
  const readers = sources.filter((path) => /\bprocess\.env\b|\benv\b.*from "node:process"/.test(read(path)));
  assert.deepEqual(readers, Object.keys(readersOfEnvironment));
});

test("no file is longer than 300 lines", () => {
  const written = ["src", "sql", "test"].flatMap(filesOf).filter((path) => /\.(ts|mjs|sql)$/.test(path));
  const long = written.filter((path) => path !== "test/sql/snapshot.sql" && read(path).split("\n").length > 301);
  assert.deepEqual(long, []);
});
