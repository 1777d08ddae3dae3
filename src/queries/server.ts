/** What the doctor asks about the server: one query for each question, nothing changed. */
import type { ClientBase, QueryResultRow } from "pg";

const rowsOf = async <Row extends QueryResultRow>(client: ClientBase, sql: string, params: unknown[] = []) =>
  (await client.query<Row>(sql, params)).rows;

const rowOf = async <Row extends QueryResultRow>(client: ClientBase, sql: string, params: unknown[] = []) => {
  const [row] = await rowsOf<Row>(client, sql, params);
  if (row === undefined) throw new Error("the query has no row");
  return row;
};

/** Which server and database this is. */
export const readServer = (client: ClientBase) =>
  rowOf<{ version: string; database: string; encoding: string; installed: boolean }>(
    client,
    `select
       split_part(current_setting('server_version'), ' ', 1) as version, d.datname as database,
       pg_encoding_to_char(d.encoding) as encoding, to_regclass('outbox.instance') is not null as installed
     from pg_database as d
     where d.datname = current_database()`,
  );

/** Settings of this session by name, and where each comes from. */
export const readServerSettings = (client: ClientBase, names: readonly string[]) =>
  rowsOf<{ name: string; setting: string; source: string }>(
    client,
    "select name, setting, source from pg_settings where name = any ($1) order by name",
    [names],
  );

/** Settings by name that sessions of this database, of roles, or of both begin with, and what takes each back. */
export const listSettingOverrides = (client: ClientBase, names: readonly string[]) =>
  rowsOf<{ name: string; setting: string; whose: string; reset: string }>(
    client,
    `select
       s.name, case when lower(s.value) in ('off', 'no', 'false', '0') then 'off' else lower(s.value) end as setting, o.whose,
       format('alter %s reset %I;', o.whose, s.name) as reset
     from pg_db_role_setting as r
     left join pg_database as d on d.oid = r.setdatabase
     left join pg_roles as u on u.oid = r.setrole
     cross join lateral (
       select split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) from unnest(r.setconfig) as c
     ) as s (name, value)
     cross join lateral (
       select case
         when r.setrole = 0 and r.setdatabase <> 0 then format('database %I', d.datname)
         else 'role ' || coalesce(quote_ident(u.rolname), 'all') || coalesce(' in database ' || quote_ident(d.datname), '')
       end
     ) as o (whose)
     where (r.setdatabase = 0 or d.datname = current_database())
     and s.name = any ($1)
     order by s.name, o.whose`,
    [names],
  );

/** The server's clock, in milliseconds since 1970. */
export const readServerClock = async (client: ClientBase): Promise<number> =>
  Number((await rowOf<{ ms: string }>(client, "select extract(epoch from clock_timestamp()) * 1000 as ms")).ms);

/** How full the queue of notifications is, from 0 to 1: the whole cluster has one. */
export const readNotificationQueueUsage = async (client: ClientBase): Promise<number> =>
  (await rowOf<{ usage: number }>(client, "select pg_notification_queue_usage() as usage")).usage;

/** The server process that answers this connection. */
export const readBackendPid = async (client: ClientBase): Promise<number> =>
  (await rowOf<{ pid: number }>(client, "select pg_backend_pid() as pid")).pid;

/** Sessions in a transaction, and prepared transactions, that are older than some seconds; oldest first. */
export const listOldTransactions = (client: ClientBase, seconds: number) =>
  rowsOf<{ end: string; what: string; seconds: number }>(
    client,
    `select t."end", t.what, extract(epoch from t.age)::integer as seconds
     from (
       select
         format('select pg_terminate_backend(%s);', a.pid),
         concat_ws(', ', format('pid %s (%s)', a.pid, a.state), 'role ' || a.usename, nullif(a.application_name, ''), a.client_addr::text),
         now() - a.xact_start
       from pg_stat_activity as a
       where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
       union all
       select format('rollback prepared %L;', p.gid), format('prepared transaction %L, role %s', p.gid, p.owner), now() - p.prepared
       from pg_prepared_xacts as p
       where p.database = current_database()
     ) as t ("end", what, age)
     where t.age > make_interval(secs => $1)
     order by t.age desc
     limit 5`,
    [seconds],
  );

/**
 * Replication slots that hold back the clean-up of dead rows for as many transactions, or an unread log of as many bytes;
 * worst first.
 */
export const listHoldingSlots = (client: ClientBase, transactions: number, bytes: number) =>
  rowsOf<{ slot: string; active: boolean; transactions: number; bytes: number }>(
    client,
    `select h.*
     from (
       select
         s.slot_name as slot, s.active, coalesce(greatest(age(s.xmin), age(s.catalog_xmin)), 0) as transactions,
         coalesce(pg_wal_lsn_diff(
           case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn), 0)::float as bytes
       from pg_replication_slots as s
     ) as h
     where h.transactions >= $1 or h.bytes >= $2
     order by h.transactions desc, h.bytes desc
     limit 5`,
    [transactions, bytes],
  );
