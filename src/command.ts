/**
 * DOOR to the commands, beside `cli.ts`: what they share for talking to a person at a terminal. Commands load what they
 * need when they run, so that `--help` is quick.
 */
import { constants } from "node:os";
import type { Command } from "commander";
import { PostriderError } from "./errors.ts";

/** Signals that ask a command to end. */
const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Adds the option that commands with a database of the user's have. */
export const addDatabaseOption = (command: Command): Command =>
  command.option("--database-url <url>", "which database (default: the environment variable DATABASE_URL)");

/**
 * The configuration, and the database that the user named.
 * @throws PostriderError POSTRIDER_DATABASE_URL_MISSING, POSTRIDER_CONFIG_INVALID
 */
export const readSettings = async ({ databaseUrl }: { readonly databaseUrl?: string }) => {
  const { readConfig } = await import("./config.ts");
  const config = readConfig();
  const connectionString = databaseUrl ?? config.databaseUrl;
  if (connectionString !== undefined) return { config, connectionString };
  throw new PostriderError(
    "POSTRIDER_DATABASE_URL_MISSING",
    "which database? Set DATABASE_URL, or give --database-url postgres://user:password@host/database",
  );
};

/**
 * Runs what ends when a signal asks it to. The first signal resolves the promise that it is given; whatever fails after
 * that fails because it is ending, and is not reported. A second signal ends the process at once.
 */
export const untilStopped = async (work: (stopped: Promise<NodeJS.Signals>) => Promise<void>): Promise<void> => {
  const { promise: stopped, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let exitCode: number | undefined;
  for (const signal of stopSignals) {
    process.on(signal, () => {
      if (exitCode !== undefined) process.exit(exitCode);
      exitCode = 128 + constants.signals[signal];
      resolve(signal);
    });
  }
  try {
    await work(stopped);
  } catch (error) {
    if (exitCode === undefined) throw error;
    process.exitCode = exitCode;
  }
};

/** Writes a line to standard output. */
export const say = (line = ""): void => {
  process.stdout.write(`${line}\n`);
};

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return "";
  return value instanceof Date ? value.toISOString().slice(11, 23) : String(value);
};

/**
 * Rows as an aligned table, columns in the order of the first row: numbers to the right, times without their day, null
 * as nothing. Lines are indented by two spaces.
 */
export const table = (rows: readonly Readonly<Record<string, unknown>>[]): string => {
  const columns = Object.keys(rows[0] ?? {}).map((name) => {
    const cells = rows.map((row) => cell(row[name]));
    const width = Math.max(name.length, ...cells.map(({ length }) => length));
    const numeric = rows.every((row) => typeof row[name] === "number" || row[name] === null);
    return { name, cells, pad: (text: string) => (numeric ? text.padStart(width) : text.padEnd(width)) };
  });
  const line = (texts: readonly string[]) => `  ${texts.join("  ")}`.trimEnd();
  return [
    line(columns.map(({ name, pad }) => pad(name))),
    ...rows.map((_, index) => line(columns.map(({ cells, pad }) => pad(cells[index] ?? "")))),
  ].join("\n");
};
