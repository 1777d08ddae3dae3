/**
 * `npm run scenario -- NAME [--smoke]`: sets up a situation, measures how Postrider behaves in it, prints its figures, and
 * fails where a promise does not hold. A scenario is a file of this folder that exports {@link Scenario}'s `run`; without a
 * name they are listed. The server is an embedded one with durable settings, or the one at DATABASE_URL.
 */
import { readdir, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { testServer } from "../support/server.ts";

/** What a scenario gets. */
export interface Stage {
  /** A server on which it makes its own database. */
  readonly serverUrl: string;
  /** Small enough for every build: shows that the scenario works, not how fast anything is. */
  readonly smoke: boolean;
}

/** What a file of this folder exports. */
export interface Scenario {
  /** @throws when a promise does not hold; @returns figures, with their units in their names */
  readonly run: (stage: Stage) => Promise<Readonly<Record<string, unknown>>>;
}

const notScenarios = ["run.ts", "support.ts"];
const folder = new URL(".", import.meta.url);

/** The names of all scenarios. */
export const scenarioNames = async (): Promise<readonly string[]> =>
  (await readdir(folder))
    .filter((file) => file.endsWith(".ts") && !notScenarios.includes(file))
    .map((file) => file.slice(0, -".ts".length))
    .toSorted();

/** The first sentence of a scenario's file: what it shows. */
const summaryOf = async (name: string): Promise<string> => {
  const text = await readFile(new URL(`${name}.ts`, folder), "utf8");
  return /\/\*\*\s*(?:\*\s)?([\s\S]*?\.)\s/.exec(text)?.[1]?.replaceAll(/\s*\n\s*\*\s*/g, " ") ?? "";
};

const rounded = (_name: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value;

/** Runs one and prints its figures as a line of JSON. */
const play = async (name: string, stage: Stage): Promise<void> => {
  const { run }: Scenario = await import(new URL(`${name}.ts`, folder).href);
  console.log(name, JSON.stringify(await run(stage), rounded));
};

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { smoke: { type: "boolean", default: false } },
  });
  const names = await scenarioNames();
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0 || positionals.length === 0) {
    for (const name of unknown) console.error(`unknown scenario: ${name}`);
    for (const name of names) console.log(`${name.padEnd(20)} ${await summaryOf(name)}`);
    process.exitCode = unknown.length > 0 ? 2 : 0;
  } else {
    await using server = process.env.DATABASE_URL === undefined ? await testServer({ durable: true }) : undefined;
    const serverUrl = server?.url ?? process.env.DATABASE_URL ?? "";
    for (const name of positionals) await play(name, { serverUrl, smoke: values.smoke });
  }
}
