-- Failures in a row. The streak lives in outbox.destination_health: it survives quiet days, and a restart of everything.

create or replace function outbox.evaluate_streaks(since timestamptz, max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_told integer := 0;
begin
  for v_row in
    select distinct a.dedup_key, d.name, h.last_success_at > a.since as answered
    from outbox.alerts as a
    join outbox.destinations as d on d.id = a.destination_id
    left join outbox.destination_health as h on h.destination_id = a.destination_id
    where a.resolved_at is null
    and a.kind = 'consecutive_failures'
    and (coalesce(h.consecutive_failures, 0) = 0 or h.first_failure_at > a.since)
    limit evaluate_streaks.max
  loop
    v_told := v_told + outbox.resolve_alert(v_row.dedup_key,
      case when v_row.answered then v_row.name || ' answers again' else v_row.name || ': failures are counted anew' end,
      case when v_row.answered then 'A delivery came through.' else 'The destination was changed or enabled.' end);
  end loop;

  for v_row in
    select d.destination, d.name, h.consecutive_failures as failures, h.first_failure_at, p.threshold, reached.level,
      'failures:' || d.id as dedup_key
    from outbox.destination_health as h
    cross join lateral (
      select t as destination, t.id, t.name, t.policy, t.deleted_at from outbox.destinations as t where t.id = h.destination_id offset 0
    ) as d
    cross join lateral (select outbox.alert_setting(d.policy, 'failures') as threshold) as p
    cross join lateral (
      select max(l) as level from unnest('{50,70,90,100}'::integer[]) as l where h.consecutive_failures * 100 >= l * p.threshold
    ) as reached
    where h.last_failure_at >= evaluate_streaks.since
    and h.consecutive_failures > 0
    and d.deleted_at is null
    and reached.level is not null
    and not exists (
      select from outbox.alerts as a
      where a.dedup_key = 'failures:' || d.id
      and a.resolved_at is null
      and a.level >= reached.level
    )
    limit evaluate_streaks.max
  loop
    perform outbox.raise_alert(
      v_row.destination, 'consecutive_failures',
      case v_row.level when 50 then 'info' when 100 then 'critical' else 'warning' end,
      v_row.dedup_key, v_row.first_failure_at, v_row.failures,
      format('%s has failed %s times in a row', v_row.name, v_row.failures),
      format('No attempt has succeeded since %s: %s %% of the %s failures that its policy names are reached.',
        outbox.alert_time(v_row.first_failure_at), v_row.level, v_row.threshold),
      outbox.last_error_of((v_row.destination).id), v_row.level);
    v_told := v_told + 1;
  end loop;
  return v_told;
end
$$;
revoke all on function outbox.evaluate_streaks(timestamptz, integer) from public;
comment on function outbox.evaluate_streaks(timestamptz, integer) is
  'Tells of destinations that failed since then and whose streak has reached 50, 70, 90 or 100 percent of their policy''s alerts.failures, each level once a streak; and of streaks that are over. Several levels reached at once are told as the highest. Returns how many were told.';

create or replace function outbox.tg_destinations__restart_streak() returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.forget_failures(NEW.id);
  return null;
end
$$;
revoke all on function outbox.tg_destinations__restart_streak() from public;
comment on function outbox.tg_destinations__restart_streak() is
  'Failures of the config, policy or secrets that were are not held against those that are.';

create or replace trigger _300_restart_streak
  after update on outbox.destinations
  for each row when (
    NEW.version <> OLD.version and NEW.disabled_at is not distinct from OLD.disabled_at and NEW.deleted_at is not distinct from OLD.deleted_at)
  execute function outbox.tg_destinations__restart_streak();
comment on trigger _300_restart_streak on outbox.destinations is 'An edited destination starts with a clean record.';
