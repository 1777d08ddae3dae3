-- The circuit of a destination: closed, open (what is for it is held), half open (one held delivery is tried).

create or replace function outbox.circuit_opens(health outbox.destination_health, policy jsonb, ramping boolean) returns boolean
  language sql stable
as $$
  select
    health.consecutive_failures >= c.failures and now() - health.first_failure_at >= make_interval(secs => c.span_seconds::double precision)
    or ramping and health.consecutive_failures >= least(c.failures, 3)
    or health.window_attempts >= c.minimum
      and health.window_failures >= c.rate * health.window_attempts
  from jsonb_to_record(outbox.effective_policy(policy) -> 'circuit')
    as c (failures numeric, span_seconds numeric, rate numeric, minimum numeric)
$$;
revoke all on function outbox.circuit_opens(outbox.destination_health, jsonb, boolean) from public;
comment on function outbox.circuit_opens(outbox.destination_health, jsonb, boolean) is
  'Whether a destination is to be left alone: circuit.failures in a row over at least circuit.span_seconds; or, of at least circuit.minimum attempts in a window, the part circuit.rate failed; or three failures in a row while what was held is being put back.';

create or replace function outbox.open_circuit(destination_id uuid, policy jsonb, failures integer, error text) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into outbox.holds as k (destination_id, reason, next_probe_at)
  values (open_circuit.destination_id, 'circuit_open', now() + outbox.probe_delay(policy, 0))
  on conflict (destination_id) do update
  set reason = 'circuit_open', since = now(), next_probe_at = excluded.next_probe_at, probe_count = 0, ramp_size = null, ramp_at = null
  where k.reason <> 'circuit_open';
  if found then
    perform outbox.audit('open_circuit', 'postrider', t.tenant_id, t.id, jsonb_build_object('failures', failures, 'error', error))
    from outbox.destinations as t
    where t.id = open_circuit.destination_id;
  end if;
end
$$;
revoke all on function outbox.open_circuit(uuid, jsonb, integer, text) from public;
comment on function outbox.open_circuit(uuid, jsonb, integer, text) is
  'From now on what is for this destination is held: new deliveries at fan-out, waiting ones when they come due. Neither takes an attempt or a job.';

create or replace function outbox.probe_delay(policy jsonb, probes integer) returns interval
  language sql immutable parallel safe
as $$
  select make_interval(secs => least(c.probe_seconds * 2 ^ least(probes, 20), greatest(c.probe_seconds, c.probe_seconds_max))::double precision)
  from jsonb_to_record(outbox.effective_policy(policy) -> 'circuit') as c (probe_seconds numeric, probe_seconds_max numeric)
$$;
revoke all on function outbox.probe_delay(jsonb, integer) from public;
comment on function outbox.probe_delay(jsonb, integer) is
  'How long to wait for the next probe after so many that failed: circuit.probe_seconds, doubled each time up to circuit.probe_seconds_max.';

create or replace function outbox.fail_probes(recorded outbox.recorded_attempt[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.holds as k
  set probe_event_id = null, probe_subscription_id = null, probe_count = k.probe_count + 1,
    next_probe_at = now() + outbox.probe_delay(t.policy, k.probe_count + 1)
  from unnest(recorded) as r
  join outbox.destinations as t on t.id = r.destination_id
  where k.destination_id = r.destination_id
  and k.probe_event_id = (r.given).event_id
  and k.probe_subscription_id = (r.given).subscription_id
  and (r.given).outcome in ('retry', 'dead')
  and (r.given).ours is not true
$$;
revoke all on function outbox.fail_probes(outbox.recorded_attempt[]) from public;
comment on function outbox.fail_probes(outbox.recorded_attempt[]) is 'Probes among these attempts failed: their circuits are open again, for twice as long.';

create or replace function outbox.start_ramp(destination_id uuid) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  insert into outbox.holds as k (destination_id, reason, ramp_size, ramp_at)
  values (start_ramp.destination_id, 'ramp', 10, now())
  on conflict (destination_id) do update
  set reason = 'ramp', since = now(), ramp_size = 10, ramp_at = now(),
    next_probe_at = null, probe_count = 0, probe_event_id = null, probe_subscription_id = null
$$;
revoke all on function outbox.start_ramp(uuid) from public;
comment on function outbox.start_ramp(uuid) is
  'What is held for this destination is put back from now on, oldest first: ten, and each second twice as many.';

create or replace function outbox.close_circuits(destination_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination record;
begin
  for v_destination in
    select t.id, t.tenant_id, k.since
    from outbox.holds as k
    join outbox.destinations as t on t.id = k.destination_id
    where k.destination_id = any (destination_ids)
    and k.reason = 'circuit_open'
    order by k.destination_id
    for update of k
  loop
    perform outbox.start_ramp(v_destination.id);
    perform outbox.audit('close_circuit', 'postrider', v_destination.tenant_id, v_destination.id,
      jsonb_build_object('open_since', v_destination.since));
  end loop;
end
$$;
revoke all on function outbox.close_circuits(uuid[]) from public;
comment on function outbox.close_circuits(uuid[]) is 'A delivery came through: what is held comes back in a ramp.';

create or replace function outbox.circuit_of(hold outbox.holds) returns text
  language sql immutable parallel safe
as $$
  select case
    when hold.reason is distinct from 'circuit_open' then 'closed'
    when hold.probe_event_id is null then 'open'
    else 'half_open'
  end
$$;
revoke all on function outbox.circuit_of(outbox.holds) from public;
comment on function outbox.circuit_of(outbox.holds) is 'The state of a circuit, as people read it: closed, open, half_open.';

create or replace function outbox.disable_failing() returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_failing record;
  v_disabled integer := 0;
begin
  for v_failing in
    select t.id, h.first_failure_at, h.last_error
    from outbox.destination_health as h
    join outbox.destinations as t on t.id = h.destination_id
    where h.first_failure_at < now() - interval '1 minute'
    and t.disabled_at is null
    and t.deleted_at is null
    and h.last_failure_at - h.first_failure_at
      >= make_interval(secs => (outbox.effective_policy(t.policy) ->> 'disable_after_seconds')::double precision)
    for update of t skip locked
  loop
    perform outbox.disable_destination(v_failing.id,
      format('nothing but failures since %s: %s', to_char(v_failing.first_failure_at, 'YYYY-MM-DD HH24:MI TZ'), v_failing.last_error),
      'postrider');
    v_disabled := v_disabled + 1;
  end loop;
  return v_disabled;
end
$$;
revoke all on function outbox.disable_failing() from public;
comment on function outbox.disable_failing() is
  'Disables destinations that did nothing but fail for disable_after_seconds of their policy. A quiet day is no failure: the last one counts, not now. Returns how many.';
