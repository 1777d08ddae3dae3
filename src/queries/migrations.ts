/** What a database has of `sql/`, and bringing it up to date. */
import type { ClientBase } from "pg";

/** A file of `sql/` as the database knows it. */
export interface AppliedFile {
  readonly path: string;
  readonly checksum: string;
}

/** Who applied it: a version of Postrider, null where that was not noted yet. */
export interface Applied extends AppliedFile {
  readonly version: string | null;
}

/** Waits until no other process migrates this database. The lock ends with the session. */
export const lockMigrations = async (client: ClientBase): Promise<void> => {
  await client.query("select pg_advisory_lock(hashtext('postrider.migrate'))");
};

/** The files that the database has; none where Postrider was never installed. */
export const listApplied = async (client: ClientBase): Promise<readonly Applied[]> => {
  const { rows: known } = await client.query<{ known: boolean }>(
    "select to_regclass('outbox.applied_files') is not null as known",
  );
  if (known[0]?.known !== true) return [];
  const { rows } = await client.query<Applied>(
    "select path, checksum, to_jsonb(f) ->> 'version' as version from outbox.applied_files as f order by path",
  );
  return rows;
};

/** Runs files and what follows from them in one transaction: everything, or nothing. */
export const inTransaction = async (client: ClientBase, work: () => Promise<void>): Promise<void> => {
  await client.query("begin");
  await client.query("set local lock_timeout = '5s'");
  await client.query("set local check_function_bodies = off");
  try {
    await work();
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
};

/** Remembers that something was applied. */
export const rememberApplied = async (client: ClientBase, file: AppliedFile): Promise<void> => {
  await client.query(
    `insert into outbox.applied_files (path, checksum) values ($1, $2)
     on conflict (path) do update set checksum = excluded.checksum, applied_at = now()`,
    [file.path, file.checksum],
  );
};

/** Remembers which version applied it, once the database can. */
export const rememberVersion = async (client: ClientBase, paths: readonly string[], version: string): Promise<void> => {
  await client.query("update outbox.applied_files set version = $2 where path = any ($1)", [paths, version]);
};

/** A destination type as SQL knows it. */
export interface DestinationTypeRow {
  readonly name: string;
  readonly label: string;
  readonly configSchema: unknown;
  readonly secretsSchema: unknown;
}

/** Tells SQL about a destination type. Fails when its schemas hold what `outbox.check_json` does not honour. */
export const saveDestinationType = async (client: ClientBase, type: DestinationTypeRow): Promise<void> => {
  await client.query("select outbox.check_json_schema($1), outbox.check_json_schema($2)", [
    JSON.stringify(type.configSchema),
    JSON.stringify(type.secretsSchema),
  ]);
  await client.query(
    `insert into outbox.destination_types (name, label, config_schema, secrets_schema) values ($1, $2, $3, $4)
     on conflict (name) do update
     set label = excluded.label, config_schema = excluded.config_schema, secrets_schema = excluded.secrets_schema`,
    [type.name, type.label, JSON.stringify(type.configSchema), JSON.stringify(type.secretsSchema)],
  );
};

/** Makes the partitions that are missing, and confirms the instance where nobody has: a fresh installation may send. */
export const settleInstallation = async (client: ClientBase): Promise<void> => {
  await client.query("select outbox.maintain_partitions()");
  await client.query("select outbox.confirm_instance() where not exists (select from outbox.instance)");
};

/** @throws an error with SQLSTATE PR004 in a restored copy of a database that nobody has confirmed */
export const requireSameInstance = async (client: ClientBase): Promise<void> => {
  await client.query("select outbox.require_same_instance()");
};
