/** DOOR to the commands: `postrider migrate | work | dev | demo | doctor | secret | inbox`. Each is a file in commands/. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addDemo } from "./commands/demo.ts";
import { addDev } from "./commands/dev.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addInbox } from "./commands/inbox.ts";
import { addMigrate } from "./commands/migrate.ts";
import { addSecret } from "./commands/secret.ts";
import { addWork } from "./commands/work.ts";
import { codeOf, messageOf } from "./errors.ts";

const failedExitCode = 1;
const usageExitCode = 2;

const packageFile = new URL("../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };

const createProgram = (): Command => {
  const program = new Command("postrider")
    .description("Postgres-native transactional outbox: insert an event in your transaction, Postrider delivers it.")
    .version(version)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "postrider: ")) })
    .addHelpText(
      "after",
      `
Examples:
  $ postrider demo                                        see it work; needs nothing
  $ postrider dev                                         a Postgres with a worker, for development
  $ DATABASE_URL=postgres://... postrider migrate
  $ DATABASE_URL=postgres://... postrider work

Exit codes: 0 all is well, 1 failed, behind or unhealthy, 2 wrong usage.`,
    );
  for (const add of [addDemo, addDev, addMigrate, addWork, addDoctor, addSecret, addInbox]) add(program);
  return program;
};

/** A command line that cannot be understood; commander has written why. Help that was asked for is no error. */
const exitCodeOf = ({ exitCode, code }: CommanderError): number =>
  exitCode === 0 && code !== "commander.help" ? 0 : usageExitCode;

const isDebugging = async (): Promise<boolean> => {
  const { readConfig } = await import("./config.ts");
  try {
    return readConfig().logLevel === "debug";
  } catch {
    return false;
  }
};

const report = async (error: unknown): Promise<void> => {
  const code = codeOf(error);
  console.error(`postrider: ${messageOf(error)}${code === undefined ? "" : ` [${code}]`}`);
  if (await isDebugging()) console.error(error);
};

try {
  await createProgram().parseAsync();
} catch (error) {
  process.exitCode = error instanceof CommanderError ? exitCodeOf(error) : failedExitCode;
  if (!(error instanceof CommanderError)) await report(error);
}
