import { type Command, InvalidArgumentError } from "commander";
import { addDatabaseOption, readSettings, say } from "../command.ts";
import { inboxSchemaDefault, installInbox, isInboxSchema, readInboxSql } from "../inbox.ts";

interface Options {
  readonly databaseUrl?: string;
  readonly schema: string;
  readonly dryRun?: true;
}

const readSchema = (text: string): string => {
  if (isInboxSchema(text)) return text;
  throw new InvalidArgumentError("A schema is lower case letters, digits and _, 63 at most, and no pg_ in front.");
};

const run = async (options: Options): Promise<void> => {
  const { schema } = options;
  if (options.dryRun === true) return say((await readInboxSql(schema)).trimEnd());
  const { connectionString } = await readSettings(options);
  await installInbox(connectionString, schema);
  say(`The table ${schema}.inbox is there.`);
  say("A user of its own for the destination needs no more than:");
  say(`  grant usage on schema ${schema} to <user>;`);
  say(`  grant insert, select (source, event_id) on ${schema}.inbox to <user>;`);
};

/** `postrider inbox install`: makes the table that destinations of type postgres insert into. */
export const addInbox = (program: Command): void => {
  const inbox = program.command("inbox").summary("prepare a database to receive events");
  addDatabaseOption(inbox.command("install"))
    .summary("make the table inbox")
    .description(
      "Makes the table that destinations of type postgres insert into, in the database that receives. Safe to repeat.",
    )
    .option("--schema <name>", "where to make it", readSchema, inboxSchemaDefault)
    .option("--dry-run", "only print the SQL")
    .addHelpText("after", "\nExample:\n  $ postrider inbox install --database-url postgres://owner@db.internal/billing")
    .action(run);
};
