/** No secret can be read: not in a log, not in a table or view, in no usual spelling. */
import { createReadStream } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Admin } from "../stage.ts";
import type { CheckerInput } from "./books.ts";
import { spellingsOf } from "./spellings.ts";

/** A worker that has a key seals plain secrets within a second or so; by then it must have. */
const sealedWithinSeconds = 30;
const pollMs = 250;
const chunkBytes = 4 * 1024 * 1024;
/** Of a table, at a time: 16 MB. */
const blocksAtOnce = 2_000;
/** Around what was found. */
const contextCharacters = 60;

/** Text by text, what is found in it; undefined for nothing. */
type Seek = (text: string) => string | undefined;

const createSeek =
  (spellings: readonly string[]): Seek =>
  (text) => {
    for (const spelling of spellings) {
      const at = text.indexOf(spelling);
      if (at >= 0) return text.slice(Math.max(at - contextCharacters, 0), at + spelling.length);
    }
    return undefined;
  };

const seekInFile = async (file: string, seek: Seek, longest: number): Promise<string | undefined> => {
  let rest = "";
  for await (const chunk of createReadStream(file, { encoding: "latin1", highWaterMark: chunkBytes })) {
    const text = rest + chunk;
    const found = seek(text);
    if (found !== undefined) return found;
    rest = text.slice(-longest);
  }
  return undefined;
};

interface Relation {
  readonly name: string;
  /** Of its largest partition; none where it is a view. */
  readonly blocks: number | null;
}

/** Tables and views of both schemas; the secrets themselves are looked at apart. */
const listRelations = (admin: Admin) =>
  admin.query<Relation>(
    `select c.oid::regclass::text as name, case when c.relkind <> 'v' then (
       select max(coalesce(pg_relation_size(p.id), 0))::float8 / current_setting('block_size')::integer
       from (select c.oid as id union all select t.relid from pg_partition_tree(c.oid) as t) as p
     ) end as blocks
     from pg_class as c
     where c.relnamespace in ('outbox'::regnamespace, 'graphile_worker'::regnamespace)
     and c.relkind in ('r', 'p', 'v', 'm')
     and not c.relispartition
     and c.oid <> 'outbox.destination_secrets'::regclass
     order by 1`,
  );

/** Searching here takes a twentieth of the time that Postgres would. */
const seekInRelation = async (admin: Admin, { name, blocks }: Relation, seek: Seek): Promise<string | undefined> => {
  for (let first = 0; first <= (blocks ?? 0); first += blocksAtOnce) {
    const portion = blocks === null ? "" : `where r.ctid >= '(${first},0)' and r.ctid < '(${first + blocksAtOnce},0)'`;
    const [row] = await admin.query<{ text: string | null }>(
      `select string_agg(r::text, e'\\n') as text from ${name} as r ${portion}`,
    );
    const found = seek(row?.text ?? "");
    if (found !== undefined) return found;
  }
  return undefined;
};

/** Plain secrets, and how long they have been so. */
const listPlain = (admin: Admin, secrets: readonly string[]) =>
  admin.query<{ id: string; name: string; seconds: number; isReplaced: boolean }>(
    `select s.id, s.name, extract(epoch from now() - s.valid_from)::float8 as seconds, s.valid_until is not null as "isReplaced"
     from outbox.destination_secrets as s
     where s.value = any ($1)`,
    [secrets],
  );

/** Waits until what is young is sealed or no longer young. */
const findUnsealed = async (admin: Admin, secrets: readonly string[]): Promise<readonly string[]> => {
  for (;;) {
    const plain = await listPlain(admin, secrets);
    const old = plain.filter(({ seconds }) => seconds > sealedWithinSeconds);
    if (old.length === plain.length) {
      return old.map(
        ({ id, name, seconds, isReplaced }) =>
          `secret ${id} (${name}${isReplaced ? ", which another has replaced" : ""}) is plain since ${Math.round(seconds)} s`,
      );
    }
    await pause(pollMs);
  }
};

/** Looks everywhere. */
export const findSecrets = async ({ admin, secrets, cluster, fleet }: CheckerInput): Promise<readonly string[]> => {
  if (secrets.length === 0) return [];
  const spellings = secrets.flatMap(spellingsOf);
  const seek = createSeek(spellings);
  const longest = Math.max(...spellings.map(({ length }) => length));
  const found: string[] = [];
  for (const file of [...fleet.workers.map(({ logFile }) => logFile), cluster.logFile]) {
    const text = await seekInFile(file, seek, longest);
    if (text !== undefined) found.push(`${file} shows a secret: ${text}`);
  }
  for (const relation of await listRelations(admin)) {
    const text = await seekInRelation(admin, relation, seek);
    if (text !== undefined) found.push(`${relation.name} shows a secret: ${text}`);
  }
  return [...found, ...(await findUnsealed(admin, secrets))];
};
