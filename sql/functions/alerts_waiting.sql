-- What waits for too long, and secrets that will end.

create or replace function outbox.overdue_destinations() returns table (destination_id uuid, since timestamptz, waiting bigint)
  language sql stable
as $$
  with recursive shortest as materialized (
    select now() - make_interval(secs => least(
      (outbox.default_policy() -> 'alerts' ->> 'backlog_seconds')::numeric,
      (select min((d.policy -> 'alerts' ->> 'backlog_seconds')::numeric) from outbox.destinations as d
        where d.policy -> 'alerts' ? 'backlog_seconds' and d.deleted_at is null)
    )::double precision) as start
  ), holders as (
    (select v.destination_id from outbox.deliveries as v where v.held_at is not null order by v.destination_id limit 1)
    union all
    select (
      select v.destination_id from outbox.deliveries as v
      where v.held_at is not null and v.destination_id > h.destination_id
      order by v.destination_id limit 1
    )
    from holders as h
    where h.destination_id is not null
  ), waiting as (
    select v.destination_id, min(v.next_attempt_at) as since, count(*) as waiting
    from outbox.deliveries as v
    where v.status = 'pending' and v.next_attempt_at < (select s.start from shortest as s)
    group by v.destination_id
    union all
    select v.destination_id, min(v.created_at), count(*)
    from outbox.deliveries as v
    where v.status = 'pending'
    and v.next_attempt_at is null
    and v.event_id >= (select i.frontier from outbox.instance as i)
    and v.event_id < (select outbox.uuid_at(s.start) from shortest as s)
    group by v.destination_id
    union all
    select h.destination_id, oldest.created_at, 1
    from holders as h
    cross join lateral (
      select v.created_at, v.held_reason from outbox.deliveries as v
      where v.destination_id = h.destination_id and v.held_at is not null
      order by v.event_id limit 1
    ) as oldest
    where oldest.held_reason not in ('destination_disabled', 'circuit_open')
  )
  select d.id, min(w.since), sum(w.waiting)::bigint
  from waiting as w
  cross join lateral (
    select t.id, t.policy, t.deleted_at from outbox.destinations as t where t.id = w.destination_id offset 0
  ) as d
  where d.deleted_at is null
  and w.since < now() - make_interval(secs => outbox.alert_setting(d.policy, 'backlog_seconds')::double precision)
  group by d.id
$$;
revoke all on function outbox.overdue_destinations() from public;
comment on function outbox.overdue_destinations() is
  'Destinations with deliveries that wait for longer than their policy''s alerts.backlog_seconds: past their next attempt, for their first one, or held by a limit. Retries whose time is yet to come, closed circuits'' and disabled destinations'' deliveries are no backlog; of the held, only the oldest is counted.';

create or replace function outbox.evaluate_backlogs(max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_present text[] := '{}';
  v_told integer := 0;
begin
  for v_row in
    select o.*, d.destination, d.name, 'backlog:' || d.id as dedup_key,
      exists (select from outbox.alerts as a where a.dedup_key = 'backlog:' || d.id and a.resolved_at is null) as known
    from outbox.overdue_destinations() as o
    cross join lateral (
      select t as destination, t.id, t.name, t.policy, t.deleted_at from outbox.destinations as t where t.id = o.destination_id offset 0
    ) as d
  loop
    v_present := v_present || v_row.dedup_key;
    if not v_row.known and v_told < evaluate_backlogs.max then
      perform outbox.raise_alert(
        v_row.destination, 'backlog', 'warning', v_row.dedup_key, v_row.since, v_row.waiting,
        v_row.name || ' is behind',
        format('Its oldest delivery has been due since %s.', outbox.alert_time(v_row.since)),
        outbox.last_error_of(v_row.destination_id));
      v_told := v_told + 1;
    end if;
  end loop;
  return v_told + outbox.resolve_others(
    'backlog', v_present, '%s has caught up', 'Nothing waits for %s longer than it should.', evaluate_backlogs.max);
end
$$;
revoke all on function outbox.evaluate_backlogs(integer) from public;
comment on function outbox.evaluate_backlogs(integer) is
  'Tells of destinations whose deliveries wait for too long, and of those that have caught up. Returns how many were told.';

create or replace function outbox.evaluate_secrets(max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_present text[] := '{}';
  v_told integer := 0;
begin
  for v_row in
    select d.destination, d.name, s.name as secret, s.valid_from, s.valid_until, n.has_successor,
      format('secret:%s:%s:%s', d.id, s.name, s.version) as dedup_key
    from outbox.destination_secrets as s
    cross join lateral (
      select t as destination, t.id, t.name, t.policy, t.deleted_at from outbox.destinations as t where t.id = s.destination_id offset 0
    ) as d
    cross join lateral (
      select exists (
        select from outbox.destination_secrets as q
        where q.destination_id = s.destination_id
        and q.name = s.name
        and q.version <> s.version
        and coalesce(q.valid_until, 'infinity') > greatest(s.valid_until, now())
      ) as has_successor
    ) as n
    where s.valid_until is not null
    and s.valid_until <= now() + make_interval(secs => outbox.alert_setting(d.policy, 'secret_expiry_seconds')::double precision)
    and (s.valid_until > now() or not n.has_successor)
    and d.deleted_at is null
  loop
    v_present := v_present || v_row.dedup_key;
    continue when v_told >= evaluate_secrets.max
      or exists (select from outbox.alerts as a where a.dedup_key = v_row.dedup_key and a.resolved_at is null);
    perform outbox.raise_alert(
      v_row.destination, 'secret_expiring', case when v_row.has_successor then 'info' else 'critical' end, v_row.dedup_key,
      v_row.valid_from, 1,
      format('A secret of %s ends', v_row.name),
      case when v_row.has_successor then
        format('Its former %s is valid until %s: by then its receiver must know the new one.',
          v_row.secret, outbox.alert_time(v_row.valid_until))
      else
        format('Its %s is valid until %s and has no successor: select outbox.rotate_secret(%L, name => %L);',
          v_row.secret, outbox.alert_time(v_row.valid_until), (v_row.destination).id, v_row.secret)
      end);
    v_told := v_told + 1;
  end loop;
  return v_told + outbox.resolve_others(
    'secret_expiring', v_present, 'A secret of %s is settled', 'It was replaced, or has ended with another in its place.',
    evaluate_secrets.max);
end
$$;
revoke all on function outbox.evaluate_secrets(integer) from public;
comment on function outbox.evaluate_secrets(integer) is
  'Tells of secrets that end within their policy''s alerts.secret_expiry_seconds: former ones, whose receiver should know the new one by then, and, critical, those without another in their place. Returns how many were told.';
