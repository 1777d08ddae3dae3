/** Installs the inbox, `sql/inbox.sql`, in a database that receives events. Postrider itself need not be there. */
import { readFile } from "node:fs/promises";
import { connect } from "./database.ts";
import { messageOf, PostriderError } from "./errors.ts";

const file = new URL("../sql/inbox.sql", import.meta.url);

/** The schema of an inbox that nobody named another. */
export const inboxSchemaDefault = "outbox";
/** What the type `postgres` takes for a schema. */
const schemaPattern = /^[a-z_][a-z0-9_]{0,62}$/;

/** Whether a destination of type postgres can name this schema. */
export const isInboxSchema = (schema: string): boolean => schemaPattern.test(schema) && !schema.startsWith("pg_");

/** The SQL that installs the inbox in a schema. */
export const readInboxSql = async (schema: string): Promise<string> =>
  (await readFile(file, "utf8")).replaceAll(':"schema"', `"${schema}"`);

/**
 * Installs the inbox, or does nothing where it is.
 * @throws PostriderError POSTRIDER_DATABASE_UNREACHABLE, POSTRIDER_SERVER_UNSUPPORTED, POSTRIDER_MIGRATION_FAILED
 */
export const installInbox = async (connectionString: string, schema: string): Promise<void> => {
  const sql = await readInboxSql(schema);
  const client = await connect(connectionString);
  try {
    await client.query(sql);
  } catch (cause) {
    const message = `inbox.sql: ${messageOf(cause)} (nothing was changed)`;
    throw new PostriderError("POSTRIDER_MIGRATION_FAILED", message, { cause });
  } finally {
    await client.end();
  }
};
