import type { Command } from "commander";
import { addDatabaseOption, readSettings, say } from "../command.ts";
import { PostriderError } from "../errors.ts";
import { count } from "../finding.ts";

interface Options {
  readonly databaseUrl?: string;
  readonly dryRun?: true;
  readonly check?: true;
}

const run = async (options: Options): Promise<void> => {
  const { connectionString } = await readSettings(options);
  const { migrate } = await import("../migrate.ts");
  const check = options.check === true;
  const dryRun = check || options.dryRun === true;
  const { pending } = await migrate({ connectionString, dryRun });
  for (const path of pending) say(path);
  if (pending.length === 0) return say("The database is up to date.");
  if (check) {
    const text = `the database lacks ${count(pending.length, "change")}, listed above: run postrider migrate`;
    throw new PostriderError("POSTRIDER_DATABASE_BEHIND", text);
  }
  say(dryRun ? `${count(pending.length, "change")} would be applied.` : `Applied ${count(pending.length, "change")}.`);
};

/** `postrider migrate`: installs or upgrades Postrider in a database. */
export const addMigrate = (program: Command): void => {
  addDatabaseOption(program.command("migrate"))
    .summary("install or upgrade Postrider in a database")
    .description("Installs or upgrades the schemas outbox and graphile_worker. Safe to repeat, by many at once.")
    .option("--dry-run", "only list what would be applied")
    .option("--check", "list what is missing, and exit with 1 if anything is")
    .addHelpText("after", "\nExample:\n  $ postrider migrate --check --database-url postgres://owner@db.internal/shop")
    .action(run);
};
