/** A database that receives: `await using inbox = await openInbox();` */
import { randomBytes } from "node:crypto";
import type { EmbeddedPostgres } from "../../src/embedded.ts";
import { installInbox } from "../../src/inbox.ts";
import { type TestDatabase, testDatabase } from "./database.ts";
import { blocks } from "./readme.ts";

/** A row of the inbox; `payload` is JSON text. */
export interface InboxRow {
  readonly source: string;
  readonly event_id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: string;
  readonly headers: Record<string, string>;
  readonly occurred_at: Date;
}

export interface Inbox extends AsyncDisposable {
  readonly db: TestDatabase;
  /** What a destination is made with. */
  readonly config: { readonly host: string; readonly port: number; readonly database: string; readonly tls: boolean };
  readonly secrets: { readonly username: readonly string[]; readonly password: readonly string[] };
  /** The role that destinations log in as: it may insert into the inbox, and nothing else. */
  readonly role: string;
  readonly rows: () => Promise<InboxRow[]>;
  /** Connections of the role. */
  readonly connections: () => Promise<number>;
}

const rowsSql =
  "select source, event_id, topic, key, payload::text, headers, occurred_at from outbox.inbox order by event_id";

/** Makes a database with an inbox, and a role that logs in with a password. */
export async function openInbox(server?: EmbeddedPostgres): Promise<Inbox> {
  const db = await testDatabase({ migrated: false, ...(server && { server }) });
  const { hostname, port, pathname } = new URL(db.url);
  const role = `${pathname.slice(1)}_writer`;
  const password = randomBytes(9).toString("base64url");
  await installInbox(db.url, "outbox");
  await db.query(`create role ${role} login password '${password}'`);
  // As the README says.
  await db.query((blocks("pgsql")[0] ?? "").replaceAll("writer", role));
  return {
    db,
    config: { host: hostname, port: Number(port), database: pathname.slice(1), tls: false },
    secrets: { username: [role], password: [password] },
    role,
    rows: () => db.query<InboxRow>(rowsSql),
    connections: async () => {
      const sql = "select count(*)::int as n from pg_stat_activity where usename = $1";
      return (await db.one<{ n: number }>(sql, [role])).n;
    },
    async [Symbol.asyncDispose]() {
      await db.query(`drop owned by ${role}`);
      await db.query(`drop role ${role}`);
      await db[Symbol.asyncDispose]();
    },
  };
}
