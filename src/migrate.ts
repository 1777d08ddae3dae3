/**
 * Brings a database up to date with `sql/`, the only reader of that folder. Migrations are history: numbered, run once.
 * Functions and views are what is: applied again when their text changes. All of it is one transaction.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { runMigrations } from "graphile-worker";
import type { ClientBase } from "pg";
import { connect } from "./database.ts";
import type { DestinationType } from "./destination.ts";
import { codeOf, messageOf, PostriderError } from "./errors.ts";
import {
  type Applied,
  type AppliedFile,
  inTransaction,
  listApplied,
  lockMigrations,
  rememberApplied,
  rememberVersion,
  saveDestinationType,
  settleInstallation,
} from "./queries/migrations.ts";
import { builtInTypes, describeType } from "./registry.ts";
import { isNewer, version } from "./version.ts";

const sqlFolder = new URL("../sql/", import.meta.url);
const folders = ["migrations", "functions", "views"] as const;

/** Something that a database may lack: a file of `sql/`, or a destination type. */
interface Part extends AppliedFile {
  readonly apply: (client: ClientBase) => Promise<unknown>;
}

/** What `migrate` did, or would do. */
export interface Migration {
  /**
   * Files of `sql/` (`functions/wake.sql`) and destination types (`destination_types/webhook`) that were, or would be,
   * applied. Empty: the database is up to date.
   */
  readonly pending: readonly string[];
}

/** How to migrate. */
export interface MigrateOptions {
  readonly connectionString: string;
  /** Only tell what is pending. Default false. */
  readonly dryRun?: boolean;
  /** Destination types beside the built-in ones. */
  readonly destinations?: readonly DestinationType[];
}

const checksumOf = (text: string): string => createHash("sha256").update(text).digest("hex");

const readSql = async (): Promise<readonly Part[]> => {
  const paths = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(new URL(`${folder}/`, sqlFolder)))
        .filter((name) => name.endsWith(".sql"))
        .sort()
        .map((name) => `${folder}/${name}`),
    ),
  );
  return Promise.all(
    paths.flat().map(async (path) => {
      const text = await readFile(new URL(path, sqlFolder), "utf8");
      return { path, checksum: checksumOf(text), apply: (client: ClientBase) => client.query(text) };
    }),
  );
};

const readType = (type: DestinationType): Part => {
  const row = describeType(type);
  return {
    path: `destination_types/${row.name}`,
    checksum: checksumOf(JSON.stringify(row)),
    apply: (client) => saveDestinationType(client, row),
  };
};

const isMigration = ({ path }: AppliedFile) => path.startsWith("migrations/");

/**
 * The files to apply. Refuses a changed migration, and a database that knows more than this version. What a newer version
 * has applied stays as it is: without a migration that this one does not know, it serves this one as well.
 */
const findPending = (files: readonly Part[], applied: readonly Applied[]): readonly Part[] => {
  const known = new Map(applied.map(({ path, checksum }) => [path, checksum]));
  const kept = new Set(applied.flatMap((file) => (isNewer(file.version ?? "", version) ? [file.path] : [])));
  const newer = applied.filter(isMigration).find(({ path }) => !files.some((file) => file.path === path));
  if (newer !== undefined) {
    throw new PostriderError(
      "POSTRIDER_DATABASE_NEWER",
      `the database has ${newer.path}, which this version of Postrider does not know: use the newer version here too`,
    );
  }
  const changed = files.filter(isMigration).find(({ path, checksum }) => (known.get(path) ?? checksum) !== checksum);
  if (changed !== undefined) {
    throw new PostriderError(
      "POSTRIDER_MIGRATION_CHANGED",
      `sql/${changed.path} is not what this database was migrated with: restore the file and put the change into a new migration`,
    );
  }
  return files.filter(({ path, checksum }) => known.get(path) !== checksum && !kept.has(path));
};

const apply = (client: ClientBase, pending: readonly Part[]): Promise<void> =>
  inTransaction(client, async () => {
    for (const part of pending) {
      try {
        await part.apply(client);
      } catch (cause) {
        if (codeOf(cause) === "42501") throw cause;
        const message = `${part.path}: ${messageOf(cause)} (nothing was changed)`;
        throw new PostriderError("POSTRIDER_MIGRATION_FAILED", message, { cause });
      }
      await rememberApplied(client, part);
    }
    const paths = pending.map(({ path }) => path);
    await rememberVersion(client, paths, version);
    await settleInstallation(client);
  });

/**
 * Installs or upgrades graphile-worker's schema and ours. Safe to run at any time, by any number of processes at once.
 * @returns the files that were applied, or with `dryRun` would be
 * @throws PostriderError POSTRIDER_DATABASE_UNREACHABLE, POSTRIDER_SERVER_UNSUPPORTED, POSTRIDER_MIGRATION_CHANGED,
 *   POSTRIDER_MIGRATION_FAILED, POSTRIDER_DATABASE_NEWER, POSTRIDER_DATABASE_BEHIND
 */
export const migrate = async (options: MigrateOptions): Promise<Migration> => {
  const types = [...(await builtInTypes()), ...(options.destinations ?? [])];
  const client = await connect(options.connectionString);
  try {
    if (options.dryRun !== true) await lockMigrations(client);
    const pending = findPending([...(await readSql()), ...types.map(readType)], await listApplied(client));
    if (options.dryRun !== true && pending.length > 0) {
      await runMigrations({ connectionString: options.connectionString });
      await apply(client, pending);
    }
    return { pending: pending.map(({ path }) => path) };
  } catch (error) {
    if (codeOf(error) !== "42501") throw error;
    throw new PostriderError(
      "POSTRIDER_DATABASE_BEHIND",
      "the database is behind this version, and its user may not change that: run postrider migrate as the owner of the schema",
      { cause: error },
    );
  } finally {
    await client.end();
  }
};
