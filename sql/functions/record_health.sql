create or replace function outbox.record_success(destination_ids uuid[], counts integer[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  insert into outbox.destination_health as h (destination_id, consecutive_failures, last_success_at, window_attempts)
  select n.destination_id, 0, now(), n.count
  from unnest(destination_ids, counts) as n (destination_id, count)
  left join outbox.destination_health as known on known.destination_id = n.destination_id
  where known.destination_id is null or known.consecutive_failures > 0
  or known.last_success_at is null or known.last_success_at < now() - interval '1 second'
  or now() < known.window_ends_at
  order by n.destination_id
  on conflict (destination_id) do update
  set consecutive_failures = 0, first_failure_at = null, last_success_at = excluded.last_success_at,
    window_attempts = h.window_attempts + excluded.window_attempts;

  select outbox.close_circuits(destination_ids)
  where exists (select from outbox.holds as k where k.destination_id = any (destination_ids) and k.reason = 'circuit_open')
$$;
revoke all on function outbox.record_success(uuid[], integer[]) from public;
comment on function outbox.record_success(uuid[], integer[]) is
  'Notes that so many deliveries came through, which ends a streak of failures and closes a circuit. A row that says so already is written once a second at most, unless successes are counted against failures.';

create or replace function outbox.record_failures(recorded outbox.recorded_attempt[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_failing record;
begin
  perform outbox.fail_probes(recorded);
  for v_failing in
    insert into outbox.destination_health as h
      (destination_id, consecutive_failures, first_failure_at, last_failure_at, last_error_code, last_error,
        window_ends_at, window_attempts, window_failures)
    select f.destination_id, f.failures, now(), now(), f.code, left(f.error, 500),
      now() + make_interval(secs => (outbox.effective_policy(t.policy) #>> '{circuit,window_seconds}')::double precision),
      f.failures, f.failures
    from (
      select r.destination_id, count(*)::integer as failures, max((r.given).code) as code, max((r.given).error) as error
      from unnest(recorded) as r
      where (r.given).outcome in ('retry', 'dead')
      and (r.given).ours is not true
      group by r.destination_id
    ) as f
    join outbox.destinations as t on t.id = f.destination_id
    order by f.destination_id
    on conflict (destination_id) do update
    set
      consecutive_failures = h.consecutive_failures + excluded.consecutive_failures,
      first_failure_at = coalesce(h.first_failure_at, excluded.first_failure_at),
      last_failure_at = excluded.last_failure_at,
      last_error_code = excluded.last_error_code,
      last_error = excluded.last_error,
      window_ends_at = case when now() < h.window_ends_at then h.window_ends_at else excluded.window_ends_at end,
      window_attempts = case when now() < h.window_ends_at then h.window_attempts else 0 end + excluded.window_attempts,
      window_failures = case when now() < h.window_ends_at then h.window_failures else 0 end + excluded.window_failures
    returning h as health
  loop
    perform outbox.open_circuit(t.id, t.policy, (v_failing.health).consecutive_failures, (v_failing.health).last_error)
    from outbox.destinations as t
    left join outbox.holds as k on k.destination_id = t.id
    where t.id = (v_failing.health).destination_id
    and k.reason is distinct from 'circuit_open'
    and outbox.circuit_opens(v_failing.health, t.policy, k.reason is not distinct from 'ramp');
  end loop;
  perform outbox.slow_down(recorded);

  for v_failing in
    select r.destination_id, min((r.given).error) as reason
    from unnest(recorded) as r
    where (r.given).disable
    and exists (select from outbox.destinations as t where t.id = r.destination_id and t.deleted_at is null)
    group by r.destination_id
    order by r.destination_id
  loop
    perform outbox.disable_destination(v_failing.destination_id, v_failing.reason, 'postrider');
  end loop;
end
$$;
revoke all on function outbox.record_failures(outbox.recorded_attempt[]) from public;
comment on function outbox.record_failures(outbox.recorded_attempt[]) is
  'Counts failures that are the destination''s; opens its circuit, slows it down or disables it where they call for that.';
