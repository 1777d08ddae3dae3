-- Failures among successes: the share of a destination's attempts that failed lately.

create or replace function outbox.failing_destinations()
  returns table (destination_id uuid, window_seconds numeric, attempts bigint, failures bigint, since timestamptz)
  language sql stable
as $$
  with suspects as materialized (
    select d.id, p.window_seconds, p.rate, p.minimum, now() - make_interval(secs => p.window_seconds::double precision) as start, h.last_success_at
    from outbox.destination_health as h
    cross join lateral (
      select t.id, t.policy, t.deleted_at from outbox.destinations as t where t.id = h.destination_id offset 0
    ) as d
    cross join lateral (
      select outbox.alert_setting(d.policy, 'window_seconds') as window_seconds, outbox.alert_setting(d.policy, 'rate') as rate,
        outbox.alert_setting(d.policy, 'minimum') as minimum
    ) as p
    where h.last_failure_at >= now() - interval '1 day'
    and h.last_failure_at >= now() - make_interval(secs => p.window_seconds::double precision)
    and d.deleted_at is null
  ), troubled as materialized (
    select s.*, t.attempts, t.failures, t.since
    from suspects as s
    cross join lateral (
      select
        count(*) filter (where a.outcome <> 'unknown') as attempts,
        count(*) filter (where a.outcome in ('retry', 'dead')) as failures,
        min(a.started_at) filter (where a.outcome in ('retry', 'dead')) as since
      from outbox.attempts as a
      where a.destination_id = s.id
      and a.started_at >= s.start
      and not a.late
      and (a.number > 1 or a.outcome <> 'delivered')
    ) as t
    where t.failures >= s.rate * s.minimum
  ), smooth as (
    select a.destination_id, count(*) as attempts
    from troubled as t
    join outbox.attempts as a on a.destination_id = t.id
    where a.event_id >= (select outbox.uuid_at(min(s.start)) from troubled as s where s.last_success_at >= s.start)
    and a.started_at >= t.start
    and a.number = 1
    and a.outcome = 'delivered'
    and not a.late
    group by a.destination_id
  )
  select t.id, t.window_seconds, t.attempts + coalesce(m.attempts, 0), t.failures, t.since
  from troubled as t
  left join smooth as m on m.destination_id = t.id
  where t.attempts + coalesce(m.attempts, 0) >= t.minimum
  and t.failures >= t.rate * (t.attempts + coalesce(m.attempts, 0))
$$;
revoke all on function outbox.failing_destinations() from public;
comment on function outbox.failing_destinations() is
  'Destinations of which at least the share of attempts failed that their policy''s alerts name, within its window and with its minimum. Failures and repeated attempts are found by index; first attempts that succeeded are counted, only if there are failures enough, among the events of the window: first attempts of older events, as after a backlog, are left out.';

create or replace function outbox.evaluate_rates(max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_present text[] := '{}';
  v_told integer := 0;
begin
  for v_row in
    select f.*, d.destination, d.name, 'rate:' || d.id as dedup_key,
      exists (select from outbox.alerts as a where a.dedup_key = 'rate:' || d.id and a.resolved_at is null) as known
    from outbox.failing_destinations() as f
    cross join lateral (
      select t as destination, t.id, t.name, t.policy, t.deleted_at from outbox.destinations as t where t.id = f.destination_id offset 0
    ) as d
  loop
    v_present := v_present || v_row.dedup_key;
    if not v_row.known and v_told < evaluate_rates.max then
      perform outbox.raise_alert(
        v_row.destination, 'failure_rate', 'warning', v_row.dedup_key, v_row.since, v_row.failures,
        format('%s fails %s %% of its attempts', v_row.name, round(100.0 * v_row.failures / v_row.attempts)),
        format('%s of %s attempts within %s seconds failed.', v_row.failures, v_row.attempts, v_row.window_seconds),
        outbox.last_error_of(v_row.destination_id));
      v_told := v_told + 1;
    end if;
  end loop;
  return v_told + outbox.resolve_others(
    'failure_rate', v_present, '%s fails less', 'The share of attempts to %s that fail is below its limit again.', evaluate_rates.max);
end
$$;
revoke all on function outbox.evaluate_rates(integer) from public;
comment on function outbox.evaluate_rates(integer) is
  'Tells of destinations that fail too large a share of their attempts, and of those that no longer do. Returns how many were told.';
