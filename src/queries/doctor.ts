/** What the doctor asks about an installation: one query for each question, nothing changed. */
import type { ClientBase, QueryResultRow } from "pg";

const rowsOf = async <Row extends QueryResultRow>(client: ClientBase, sql: string, params: unknown[] = []) =>
  (await client.query<Row>(sql, params)).rows;

const rowOf = async <Row extends QueryResultRow>(client: ClientBase, sql: string, params: unknown[] = []) => {
  const [row] = await rowsOf<Row>(client, sql, params);
  if (row === undefined) throw new Error("the query has no row");
  return row;
};

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

/** Workers that are registered: whether each beats, and how far its clock is ahead of the server's. */
export const listWorkers = (client: ClientBase) =>
  rowsOf<{ name: string; version: string; live: boolean; beat_seconds: number; clock_ahead_ms: number | null }>(
    client,
    `select
       format('pid %s on %s', w.pid, w.hostname) as name, w.version, w.heartbeat_at > now() - outbox.worker_lease() as live,
       extract(epoch from now() - w.heartbeat_at)::integer as beat_seconds, w.clock_ahead_ms
     from outbox.workers as w
     order by w.started_at`,
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

/** Destinations whose circuit has been open for longer than some seconds; the longest first. */
export const listOpenCircuits = (client: ClientBase, seconds: number) =>
  rowsOf<{ id: string; tenant_id: string; name: string; seconds: number; last_error: string | null }>(
    client,
    `select d.id, d.tenant_id, d.name, extract(epoch from now() - k.since)::integer as seconds, h.last_error
     from outbox.holds as k
     join outbox.destinations as d on d.id = k.destination_id
     left join outbox.destination_health as h on h.destination_id = d.id
     where k.reason = 'circuit_open'
     and k.since < now() - make_interval(secs => $1)
     and coalesce(d.deleted_at, d.disabled_at) is null
     order by k.since
     limit 10`,
    [seconds],
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

/** How large the job table is, and how many of its rows are dead. */
export const readJobTable = (client: ClientBase) =>
  rowOf<{ jobs: number; size: string; dead: number }>(
    client,
    `select
       (select count(*)::integer from graphile_worker._private_jobs) as jobs, pg_size_pretty(pg_total_relation_size(s.relid)) as size,
       s.n_dead_tup::integer as dead
     from pg_stat_all_tables as s
     where s.relid = 'graphile_worker._private_jobs'::regclass`,
  );

/** Workers that have held jobs of ours for longer than some seconds. */
export const listStuckJobs = (client: ClientBase, seconds: number) =>
  rowsOf<{ name: string; hostname: string; pid: number; count: number }>(
    client,
    `select format('pid %s on %s', w.pid, w.hostname) as name, w.hostname, w.pid, count(*)::integer as count
     from graphile_worker._private_jobs as j
     join graphile_worker._private_tasks as t on t.id = j.task_id
     join outbox.workers as w on w.pool_id = j.locked_by
     where t.identifier = 'outbox_deliver'
     and j.locked_at < now() - make_interval(secs => $1)
     group by w.id order by w.started_at`,
    [seconds],
  );

/** Jobs of a later version than this one, by version. */
export const countNewerJobs = (client: ClientBase, version: number) =>
  rowsOf<{ version: number; count: number }>(
    client,
    `select (j.payload ->> 'v')::integer as version, count(*)::integer as count
     from graphile_worker._private_jobs as j
     join graphile_worker._private_tasks as t on t.id = j.task_id
     where starts_with(t.identifier, 'outbox_deliver')
     and (j.payload ->> 'v')::integer > $1
     group by 1 order by 1`,
    [version],
  );
