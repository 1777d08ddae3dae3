/** What the doctor looks at: one query for each question, nothing changed. */
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

/** Server settings, by name. */
export const readServerSettings = (client: ClientBase, names: readonly string[]) =>
  rowsOf<{ name: string; setting: string }>(
    client,
    "select name, setting from pg_settings where name = any ($1) order by name",
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
       select format('select pg_terminate_backend(%s);', a.pid), format('pid %s (%s)', a.pid, a.state), now() - a.xact_start
       from pg_stat_activity as a
       where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
       union all
       select format('rollback prepared %L;', p.gid), format('prepared transaction %L', p.gid), now() - p.prepared
       from pg_prepared_xacts as p
       where p.database = current_database()
     ) as t ("end", what, age)
     where t.age > make_interval(secs => $1)
     order by t.age desc
     limit 5`,
    [seconds],
  );

/** Whether this database is the one that was confirmed; null where none was. */
export const readInstance = (client: ClientBase) =>
  rowOf<{ same: boolean | null }>(
    client,
    "select (select outbox.is_same_instance(i) from outbox.instance as i) as same",
  );

/** The triggers of the schema, and whether each fires for everybody's ordinary statements. */
export const listTriggers = (client: ClientBase) =>
  rowsOf<{ table: string; trigger: string; enabled: boolean }>(
    client,
    `select c.relname as "table", t.tgname as trigger, t.tgenabled in ('O', 'A') as enabled
     from pg_trigger as t
     join pg_class as c on c.oid = t.tgrelid
     where c.relnamespace = 'outbox'::regnamespace
     and not t.tgisinternal
     order by 1, 2`,
  );

/** Partitions of today (UTC) and the next days that do not exist. */
export const listMissingPartitions = (client: ClientBase, daysAhead: number) =>
  rowsOf<{ partition: string; today: boolean }>(
    client,
    `select p.parent || '_' || to_char(d.day, 'YYYYMMDD') as partition, d.ahead = 0 as today
     from unnest(array['events', 'deliveries', 'attempts']) as p (parent)
     cross join lateral (
       select a.ahead, (now() at time zone 'UTC')::date + a.ahead from generate_series(0, $1::integer) as a (ahead)
     ) as d (ahead, day)
     where to_regclass('outbox.' || p.parent || '_' || to_char(d.day, 'YYYYMMDD')) is null
     order by d.day, p.parent`,
    [daysAhead],
  );

/** Days (UTC) whose rows lie in a default partition, and what makes the partitions of each. */
export const listDefaultPartitionDays = (client: ClientBase) =>
  rowsOf<{ day: string; create: string }>(
    client,
    `select
       d.day, string_agg(format('select outbox.create_partition(%L, %L);', p.parent, d.day), ' ') as create
     from (
       select distinct to_char(to_timestamp(('x' || left(replace(r.id::text, '-', ''), 12))::bit(48)::bigint / 1000) at time zone 'UTC', 'YYYY-MM-DD')
       from (
         select id from outbox.events_default
         union all
         select event_id from outbox.deliveries_default
         union all
         select event_id from outbox.attempts_default
       ) as r (id)
     ) as d (day)
     cross join unnest(array['events', 'deliveries', 'attempts']) as p (parent)
     group by d.day
     order by d.day
     limit 10`,
  );

/** Workers, and how many of them beat. */
export const readWorkers = (client: ClientBase) =>
  rowOf<{ live: number; silent: number; oldest_beat_seconds: number | null; versions: string[] | null }>(
    client,
    `select
       count(*) filter (where w.live)::integer as live, count(*) filter (where not w.live)::integer as silent,
       max(extract(epoch from now() - w.heartbeat_at)) filter (where w.live)::integer as oldest_beat_seconds,
       array_agg(distinct w.version) filter (where w.live) as versions
     from (select *, heartbeat_at > now() - outbox.worker_lease() as live from outbox.workers) as w`,
  );

/** How the secrets lie in the database: plain, or sealed with which keys. */
export const readSecretStorage = (client: ClientBase) =>
  rowOf<{ plain: number; key_ids: string[] | null }>(
    client,
    `select count(*) filter (where s.value is not null)::integer as plain, array_agg(distinct s.key_id) filter (where s.key_id is not null) as key_ids
     from outbox.destination_secrets as s
     where s.valid_until is null or s.valid_until > now()`,
  );

/** Destinations that cannot be used, or are not to be. */
export const listTroubledDestinations = (client: ClientBase) =>
  rowsOf<{ id: string; tenant_id: string; name: string; problem: string | null; disabled_reason: string | null }>(
    client,
    `select d.id, d.tenant_id, d.name, d.problem, d.disabled_reason
     from outbox.destinations as d
     where d.deleted_at is null and (d.problem is not null or d.disabled_at is not null)
     order by d.problem is null, d.name
     limit 10`,
  );

/** Dead letters by the code of their last failure. */
export const countDeadLetters = (client: ClientBase) =>
  rowsOf<{ error_code: string; count: number }>(
    client,
    `select d.error_code, count(*)::integer as count from outbox.deliveries as d where d.dead_at is not null
     group by d.error_code order by count desc, d.error_code`,
  );

/** How long the longest-waiting delivery has been due, and the longest-waiting event without its fan-out; in seconds. */
export const readBacklog = (client: ClientBase) =>
  rowOf<{ due: number; oldest_due_seconds: number; deferred: number }>(
    client,
    `select
       count(*)::integer as due, coalesce(max(extract(epoch from now() - coalesce(p.next_attempt_at, p.created_at))), 0)::integer as oldest_due_seconds,
       (select coalesce(sum(cardinality(q.event_ids)), 0)::integer from outbox.deferred_events as q
         where q.event_ids[1] < outbox.uuid_at(now() - interval '1 minute')) as deferred
     from outbox.pending_deliveries() as p
     where p.claimed_by is null
     and coalesce(p.next_attempt_at, p.created_at) <= now()`,
  );

/** Jobs that graphile-worker has given up, by task. */
export const countFailedJobs = (client: ClientBase) =>
  rowsOf<{ task: string; count: number; last_error: string | null }>(
    client,
    `select t.identifier as task, count(*)::integer as count, max(j.last_error) as last_error
     from graphile_worker._private_jobs as j
     join graphile_worker._private_tasks as t on t.id = j.task_id
     where j.attempts >= j.max_attempts and j.locked_at is null
     group by 1 order by 1`,
  );

/** Who holds our jobs for longer than a worker's lease without being one of our workers. */
export const listUnknownPools = (client: ClientBase) =>
  rowsOf<{ pool: string; count: number }>(
    client,
    `select j.locked_by as pool, count(*)::integer as count
     from graphile_worker._private_jobs as j
     join graphile_worker._private_tasks as t on t.id = j.task_id
     where t.identifier = 'outbox_deliver'
     and j.locked_at < now() - outbox.worker_lease()
     and not exists (select from outbox.workers as w where w.pool_id = j.locked_by)
     group by 1 order by 1`,
  );
