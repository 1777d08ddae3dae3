/**
 * The schema as text, the same on every supported Postgres: what a change of `sql/` makes of it is seen in the diff of
 * `test/sql/snapshot.sql`. `npm run dump` writes that file anew. Bodies of functions and views are left out, they stand in
 * `sql/`; so are the partitions of the days.
 */
import { writeFile } from "node:fs/promises";
import type pg from "pg";
import { testDatabase } from "./database.ts";
import { openServer } from "./server.ts";

/** Where the committed dump stands. */
export const snapshotFile = new URL("../sql/snapshot.sql", import.meta.url);

type Runner = Pick<pg.ClientBase, "query">;

const titles = { r: "table", p: "table", v: "view", c: "type", S: "sequence" } as const;

/** Relations with a line for each column, constraint, index and trigger. */
const relationsSql = `
  select c.relname as name, c.relkind as kind,
    concat_ws(' ', c.relname,
      case when c.relkind = 'p' then 'partition by ' || pg_get_partkeydef(c.oid) end,
      case when c.reloptions is not null then 'with (' || array_to_string(c.reloptions, ', ') || ')' end) as head,
    array(
      select concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
        case when a.attnotnull then 'not null' end,
        case a.attidentity when 'a' then 'generated always as identity' end,
        'default ' || pg_get_expr(d.adbin, d.adrelid))
      from pg_attribute as a left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      order by a.attnum
    ) as columns,
    array(
      select 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
      from pg_constraint as k where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x')
      order by k.conname collate "C"
    ) as constraints,
    array(
      select replace(replace(pg_get_indexdef(i.indexrelid), 'CREATE ', ''), ' ON ONLY ', ' ON ')
      from pg_index as i join pg_class as x on x.oid = i.indexrelid
      where i.indrelid = c.oid and not exists (select from pg_constraint as k where k.conindid = i.indexrelid and k.contype <> 'f')
      order by x.relname collate "C"
    ) as indexes,
    array(
      select replace(pg_get_triggerdef(t.oid), 'CREATE TRIGGER', 'trigger')
      from pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal order by t.tgname collate "C"
    ) as triggers
  from pg_class as c
  where c.relnamespace = 'outbox'::regnamespace and not c.relispartition and c.relkind in ('r', 'p', 'v', 'c')
  order by c.relkind in ('c', 'v'), c.relkind = 'v', c.relname collate "C"`;

const enumsSql = `
  select t.typname || ' as enum (' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) || ')' as line
  from pg_type as t join pg_enum as e on e.enumtypid = t.oid
  where t.typnamespace = 'outbox'::regnamespace group by t.typname order by t.typname collate "C"`;

const functionsSql = `
  select p.proname || '(' || pg_get_function_arguments(p.oid) || ')' as head,
    concat_ws(' ', 'returns ' || pg_get_function_result(p.oid), 'language ' || l.lanname,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      case when p.proisstrict then 'strict' end,
      case p.proparallel when 's' then 'parallel safe' end,
      case when p.prosecdef then 'security definer' end,
      'set ' || array_to_string(p.proconfig, ' set '),
      case when has_function_privilege('public', p.oid, 'execute') then 'FOR EVERYBODY' end) as properties
  from pg_proc as p join pg_language as l on l.oid = p.prolang
  where p.pronamespace = 'outbox'::regnamespace
  order by p.proname collate "C", pg_get_function_identity_arguments(p.oid) collate "C"`;

/** What a role has been given in our schema and in graphile-worker's, one line each. */
const grantsSql = `
  with given as (
    select 'schema ' || n.nspname as what, acl.privilege_type, null as column_name
    from pg_namespace as n cross join aclexplode(n.nspacl) as acl where acl.grantee = $1::regrole
    union all
    select c.oid::regclass::text, acl.privilege_type, null
    from pg_class as c cross join aclexplode(c.relacl) as acl
    where acl.grantee = $1::regrole and c.relnamespace = 'outbox'::regnamespace
    union all
    select c.oid::regclass::text, acl.privilege_type, a.attname
    from pg_attribute as a join pg_class as c on c.oid = a.attrelid cross join aclexplode(a.attacl) as acl
    where acl.grantee = $1::regrole
    union all
    select p.oid::regprocedure::text, acl.privilege_type, null
    from pg_proc as p cross join aclexplode(p.proacl) as acl
    where acl.grantee = $1::regrole and p.pronamespace = 'outbox'::regnamespace
  )
  select lower(privilege_type) || ' on ' || what
    || coalesce(' (' || string_agg(column_name, ', ' order by column_name collate "C") || ')', '') as line
  from given group by what, privilege_type, column_name is null order by what collate "C", privilege_type, column_name is null`;

const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

async function relations(client: Runner): Promise<string[]> {
  const { rows } = await client.query(relationsSql);
  return rows.flatMap(({ kind, head, columns, constraints, indexes, triggers }) => [
    `${titles[kind as keyof typeof titles]} ${head}`,
    ...indented([...columns, ...constraints, ...indexes, ...triggers]),
    "",
  ]);
}

async function functions(client: Runner): Promise<string[]> {
  const { rows } = await client.query(functionsSql);
  return rows.flatMap(({ head, properties }) => [`function ${head}`, ...indented([properties])]);
}

/** Roles belong to the cluster, so this one exists only inside a transaction that is rolled back. */
async function grants(client: Runner, role: string): Promise<string[]> {
  await client.query("begin");
  await client.query(`create role postrider_snapshot; select outbox.grant_${role}('postrider_snapshot')`);
  const { rows } = await client.query(grantsSql, ["postrider_snapshot"]);
  await client.query("rollback");
  return ["", `${role} may`, ...indented(rows.map(({ line }) => line))];
}

/** The dump of a database's schema `outbox`. */
export async function dumpSchema(client: Runner): Promise<string> {
  await client.query("set search_path = pg_catalog");
  const { rows: enums } = await client.query(enumsSql);
  const lines = [
    "-- What the files of sql/ make of an empty database, without the bodies of functions and views, which stand there.",
    "-- Written by `npm run dump`, compared by snapshot.test.ts.",
    "",
    ...enums.map(({ line }) => `type ${line}`),
    "",
    ...(await relations(client)),
    ...(await functions(client)),
  ];
  for (const role of ["producer", "inspector", "operator", "worker"]) lines.push(...(await grants(client, role)));
  return `${lines.join("\n")}\n`;
}

if (import.meta.main) {
  await using server = await openServer(process.env.DATABASE_URL);
  process.env.POSTRIDER_TEST_SERVER = server.url;
  process.env.POSTRIDER_TEST_RUN = server.run;
  await using db = await testDatabase();
  await using client = await db.client();
  await writeFile(snapshotFile, await dumpSchema(client));
  console.log("test/sql/snapshot.sql is what sql/ makes of an empty database");
}
