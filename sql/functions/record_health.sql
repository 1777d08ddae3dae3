create or replace function outbox.record_success(destination_ids uuid[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  insert into outbox.destination_health as h (destination_id, consecutive_failures, last_success_at)
  select i, 0, now()
  from unnest(destination_ids) as i
  left join outbox.destination_health as known on known.destination_id = i
  where known.destination_id is null or known.consecutive_failures > 0
  or known.last_success_at is null or known.last_success_at < now() - interval '1 second'
  order by i
  on conflict (destination_id) do update
  set consecutive_failures = 0, first_failure_at = null, last_success_at = excluded.last_success_at
$$;
revoke all on function outbox.record_success(uuid[]) from public;
comment on function outbox.record_success(uuid[]) is
  'Notes that deliveries came through, which ends a streak of failures. A row that says so already is written once a second at most.';

create or replace function outbox.record_failures(recorded outbox.recorded_attempt[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination_id uuid;
  v_reason text;
begin
  insert into outbox.destination_health as h
    (destination_id, consecutive_failures, first_failure_at, last_failure_at, last_error_code, last_error)
  select r.destination_id, count(*), now(), now(), max((r.given).code), left(max((r.given).error), 500)
  from unnest(recorded) as r
  where (r.given).outcome in ('retry', 'dead')
  and (r.given).ours is not true
  group by r.destination_id
  order by r.destination_id
  on conflict (destination_id) do update
  set
    consecutive_failures = h.consecutive_failures + excluded.consecutive_failures,
    first_failure_at = coalesce(h.first_failure_at, excluded.first_failure_at),
    last_failure_at = excluded.last_failure_at,
    last_error_code = excluded.last_error_code,
    last_error = excluded.last_error;

  for v_destination_id, v_reason in
    select r.destination_id, min((r.given).error)
    from unnest(recorded) as r
    where (r.given).disable
    and exists (select from outbox.destinations as t where t.id = r.destination_id and t.deleted_at is null)
    group by r.destination_id
    order by r.destination_id
  loop
    perform outbox.disable_destination(v_destination_id, v_reason, 'postrider');
  end loop;
end
$$;
revoke all on function outbox.record_failures(outbox.recorded_attempt[]) from public;
comment on function outbox.record_failures(outbox.recorded_attempt[]) is
  'Counts failures that are the destination''s, and disables destinations that asked for it.';
