/** The house rules that the database checks on itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";

const ours = "'outbox'::regnamespace";

/** Columns whose name says it all, wherever they stand. */
const plainColumns = [
  ...["id", "event_id", "subscription_id", "destination_id", "tenant_id", "name", "label", "type", "action", "detail"],
  ...["created_at", "updated_at", "started_at", "finished_at", "applied_at", "confirmed_at", "at", "heartbeat_at"],
  ...["path", "checksum", "hostname", "pid", "version", "number", "outcome", "status", "error", "enabled", "only_row"],
  ...["last_failure_at", "last_success_at", "last_error", "last_error_code", "consecutive_failures", "worker_id"],
  ...["config", "secrets", "valid_from", "disabled_reason", "held_at", "event_ids", "dedupe_key"],
];

/** What a fresh schema must have none of. */
const rules: readonly (readonly [rule: string, sql: string, params?: unknown[]])[] = [
  [
    "every table and view has a comment",
    `select c.relname from pg_class as c
     where c.relnamespace = ${ours} and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
     and obj_description(c.oid, 'pg_class') is null`,
  ],
  [
    "every column whose name does not say it all has a comment",
    `select c.relname || '.' || a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
     where c.relnamespace = ${ours} and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
     and a.attname <> all ($1) and col_description(c.oid, a.attnum) is null`,
    [plainColumns],
  ],
  [
    "every function has a comment",
    `select p.oid::regprocedure::text from pg_proc as p
     where p.pronamespace = ${ours} and obj_description(p.oid, 'pg_proc') is null`,
  ],
  [
    "every type has a comment",
    `select t.typname from pg_type as t left join pg_class as c on c.oid = t.typrelid
     where t.typnamespace = ${ours} and (t.typtype in ('e', 'd') or c.relkind = 'c')
     and coalesce(obj_description(t.oid, 'pg_type'), obj_description(c.oid, 'pg_class')) is null`,
  ],
  [
    "every trigger has a comment",
    `select t.tgname || ' on ' || t.tgrelid::regclass from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
     where c.relnamespace = ${ours} and not t.tgisinternal and not c.relispartition and obj_description(t.oid, 'pg_trigger') is null`,
  ],
  [
    "definer functions pin their search_path, with pg_temp last",
    `select p.proname from pg_proc as p where p.pronamespace = ${ours} and p.prosecdef
     and not exists (select from unnest(p.proconfig) as c where c like 'search_path=%pg_catalog, pg_temp')`,
  ],
  [
    "no function is executable by the public",
    `select p.oid::regprocedure::text from pg_proc as p
     where p.pronamespace = ${ours} and has_function_privilege('public', p.oid, 'execute')`,
  ],
  [
    "no table, sequence or schema is open to the public",
    `select c.relname from pg_class as c cross join aclexplode(c.relacl) as acl where c.relnamespace = ${ours} and acl.grantee = 0
     union all select n.nspname from pg_namespace as n cross join aclexplode(n.nspacl) as acl where n.nspname = 'outbox' and acl.grantee = 0`,
  ],
  [
    "views run with the rights of who reads them",
    `select c.relname from pg_class as c where c.relnamespace = ${ours} and c.relkind = 'v'
     and not coalesce(c.reloptions, '{}') @> '{security_invoker=true}'`,
  ],
  [
    "every foreign key has an index on its columns",
    `select k.conname from pg_constraint as k
     where k.connamespace = ${ours} and k.contype = 'f' and not exists (
       select from pg_index as i where i.indrelid = k.conrelid and i.indpred is null
       and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
     )`,
  ],
  [
    "every foreign key says what happens on delete",
    `select conname from pg_constraint where connamespace = ${ours} and contype = 'f' and confdeltype = 'a'`,
  ],
  [
    "check constraints have names that say their rule",
    `select c.relname || ': ' || k.conname from pg_constraint as k join pg_class as c on c.oid = k.conrelid
     where k.connamespace = ${ours} and k.contype = 'c' and k.conname like c.relname || '%\\_check%'`,
  ],
  [
    "events, deliveries and attempts have no foreign keys: each row would lock one that all share",
    `select conname from pg_constraint where contype = 'f'
     and conrelid = any ('{outbox.events,outbox.deliveries,outbox.attempts}'::regclass[])`,
  ],
  [
    "every table has a primary key",
    `select c.relname from pg_class as c where c.relnamespace = ${ours} and c.relkind in ('r', 'p')
     and not exists (select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p')`,
  ],
  [
    "times have a time zone",
    `select a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
     where c.relnamespace = ${ours} and a.atttypid = 'timestamp'::regtype`,
  ],
];

for (const [rule, sql, params] of rules) {
  test(rule, async () => {
    await using db = await testDatabase();
    assert.deepEqual(
      (await db.query(sql, params)).map((row) => Object.values(row)[0]),
      [],
    );
  });
}

test("the rules see what breaks them", async () => {
  await using db = await testDatabase();
  await db.query(`create table outbox.bad (parent uuid references outbox.destinations (id), seen timestamp, n int check (n > 0));
    grant select on outbox.bad to public;
    create view outbox.bad_view as select 1 as n;
    create type outbox.bad_type as enum ('a');
    create function outbox.bad_function() returns trigger language plpgsql security definer as 'begin return null; end';
    create trigger bad before insert on outbox.bad for each row execute function outbox.bad_function();
    alter table outbox.deliveries add foreign key (destination_id) references outbox.destinations (id)`);
  for (const [rule, sql, params] of rules) assert.notDeepEqual(await db.query(sql, params), [], rule);
});

test("the happy path of a delivery stays HOT: what it changes is in no index and no index predicate", async () => {
  await using db = await testDatabase();
  const changed = ["status", "attempt_count", "claimed_by", "last_attempt_at", "finished_at", "error_code"];
  const indexes = await db.query(
    `select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index as i
     where i.indrelid = 'outbox.deliveries'::regclass`,
  );
  assert.ok(indexes.length >= 4);
  const wrong = indexes.filter(({ definition }) =>
    changed.some((column) => new RegExp(`\\b${column}\\b`).test(definition)),
  );
  assert.deepEqual(wrong, []);
});
