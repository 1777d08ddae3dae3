-- The second round trip of the worker, and the only way in which a delivery changes by delivering.

create or replace function outbox.record_failed(worker_id uuid, given outbox.given_attempt[])
  returns outbox.recorded_attempt[]
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_recorded outbox.recorded_attempt[];
begin
  with decided as (
    select c.*,
      case when (c.given).outcome = 'unknown' or c.wanted_at < c.expires_at then c.wanted_at end as next_attempt_at,
      case
        when (c.given).outcome = 'unknown' or c.wanted_at < c.expires_at then null
        when c.wanted_at is not null then case when c.expires_at = c.event_expires_at then 'expires_at' else 'the maximum age' end
      end as expired
    from (
      select
        g as given, g.event_id, g.subscription_id, g.number, d.failure_count,
        (g.outcome <> 'unknown' and g.ours is not true and p.is_held is not true)::integer as failures,
        p.is_held,
        case
          when g.outcome = 'unknown' then now()
          when p.is_held then null
          when g.outcome = 'retry' and g.ours then
            now() + make_interval(secs => least(5 * 2 ^ least(g.number - 1, 6), 300) * (1 + random()))
          when g.outcome = 'retry' then now() + outbox.retry_delay(
            t.policy, d.failure_count + 1, make_interval(secs => g.retry_after_ms / 1000.0), random())
        end as wanted_at,
        outbox.expiry_of(d, t.policy) as expires_at, d.expires_at as event_expires_at
      from unnest(given) as g
      join outbox.deliveries as d on d.event_id = g.event_id and d.subscription_id = g.subscription_id
      join outbox.destinations as t on t.id = d.destination_id
      left join outbox.holds as k
        on k.destination_id = t.id and k.probe_event_id = g.event_id and k.probe_subscription_id = g.subscription_id
      cross join lateral (select k.destination_id is not null and g.outcome = 'retry' and g.ours is not true as is_held) as p
    ) as c
  ), updated as (
    update outbox.deliveries as d
    set
      status = case when a.is_held then 'held' when a.next_attempt_at is null then 'dead' else 'pending' end::outbox.delivery_status,
      held_at = case when a.is_held then now() end,
      held_reason = case when a.is_held then 'circuit_open' end,
      failure_count = d.failure_count + a.failures,
      error_code = case when a.expired is null then (a.given).code else 'expired' end,
      next_attempt_at = a.next_attempt_at,
      job_at = case when a.next_attempt_at < now() + interval '1 minute' then now() end,
      finished_at = case when a.next_attempt_at is null and not a.is_held then now() end,
      dead_at = case when a.next_attempt_at is null and not a.is_held then now() end,
      claimed_by = null
    from decided as a
    where d.event_id = a.event_id
    and d.subscription_id = a.subscription_id
    and d.attempt_count = a.number
    and d.claimed_by = record_failed.worker_id
    returning a.given, d.destination_id, d.status, d.next_attempt_at, d.job_at, d.last_attempt_at,
      outbox.requested_by(d, a.failures), a.expired, d.replay_id
  )
  select array_agg(row(u.*)::outbox.recorded_attempt) into v_recorded from updated as u;
  return v_recorded;
end
$$;
revoke all on function outbox.record_failed(uuid, outbox.given_attempt[]) from public;
comment on function outbox.record_failed(uuid, outbox.given_attempt[]) is
  'Decides what becomes of deliveries whose attempt failed, if the worker still holds the claim: the next time by the destination''s policy, or dead where the schedule or the time is used up. A probe of an open circuit is held again, and its failure does not count against it. Faults of our own count for nothing and are tried again after 5 seconds, later after up to 10 minutes; an unknown outcome is tried again at once.';

create or replace function outbox.record_late_answers(
  worker_id uuid, given outbox.given_attempt[], recorded outbox.recorded_attempt[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  insert into outbox.attempts
    (event_id, subscription_id, number, late, outcome, code, started_at, duration_ms, trigger, worker_id, destination_id, error, response)
  select
    g.event_id, g.subscription_id, g.number, true, g.outcome, g.code, coalesce(a.started_at, d.last_attempt_at), g.duration_ms,
    coalesce(a.trigger, outbox.attempt_trigger(g.number, null, null)), record_late_answers.worker_id, d.destination_id, g.error, g.response
  from unnest(given) as g
  join outbox.deliveries as d on d.event_id = g.event_id and d.subscription_id = g.subscription_id
  left join outbox.attempts as a
    on a.event_id = g.event_id and a.subscription_id = g.subscription_id and a.number = g.number and not a.late
  where (
    (a.outcome = 'unknown' or a.code = 'poison') and a.worker_id = record_late_answers.worker_id
    or a.number is null and d.status = 'cancelled' and d.attempt_count = g.number
  )
  and not exists (
    select from unnest(recorded) as r
    where (r.given).event_id = g.event_id
    and (r.given).subscription_id = g.subscription_id
  )
  on conflict do nothing
$$;
revoke all on function outbox.record_late_answers(uuid, outbox.given_attempt[], outbox.recorded_attempt[]) from public;
comment on function outbox.record_late_answers(uuid, outbox.given_attempt[], outbox.recorded_attempt[]) is
  'Keeps answers to attempts that were closed as unknown, beside them, and answers that came after a cancellation. An answer that was recorded before (a worker repeats itself after a lost connection) is not kept twice.';

create or replace function outbox.record_delivered(
  worker_id uuid, event_ids uuid[], subscription_ids uuid[], numbers integer[], durations_ms integer[],
  responses jsonb, response_numbers integer[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set jit = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = on
  set enable_nestloop = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_first constant uuid := outbox.least_of(event_ids);
  v_last constant uuid := outbox.greatest_of(event_ids);
  v_first_subscription constant uuid := outbox.least_of(subscription_ids);
  v_last_subscription constant uuid := outbox.greatest_of(subscription_ids);
  v_responses constant jsonb[] := array(select nullif(r, 'null') from jsonb_array_elements(responses) as r);
  v_recorded integer;
  v_destination_ids uuid[];
  v_counts integer[];
begin
  with given as (
    select *
    from rows from (
      unnest(event_ids), unnest(subscription_ids), unnest(numbers), unnest(durations_ms), unnest(response_numbers)
    ) as g (event_id, subscription_id, number, duration_ms, response_number)
  ), updated as (
    update outbox.deliveries as d
    set status = 'delivered', error_code = null, next_attempt_at = null, job_at = null, finished_at = now(), claimed_by = null
    from given as g
    where d.event_id = any (event_ids)
    and d.event_id between v_first and v_last
    and d.subscription_id between v_first_subscription and v_last_subscription
    and d.event_id = g.event_id
    and d.subscription_id = g.subscription_id
    and d.attempt_count = g.number
    and d.claimed_by = record_delivered.worker_id
    returning d.event_id, d.subscription_id, d.attempt_count as number, d.last_attempt_at, d.destination_id,
      outbox.requested_by(d, 0) as requested_by, d.replay_id, g.duration_ms, g.response_number
  ), kept as (
    insert into outbox.attempts
      (event_id, subscription_id, number, outcome, started_at, duration_ms, trigger, requested_by, worker_id, destination_id, response)
    select u.event_id, u.subscription_id, u.number, 'delivered', u.last_attempt_at, u.duration_ms,
      outbox.attempt_trigger(u.number, u.requested_by, u.replay_id), u.requested_by, record_delivered.worker_id, u.destination_id,
      v_responses[u.response_number]
    from updated as u
  )
  select sum(c.count), array_agg(c.destination_id), array_agg(c.count)
  into v_recorded, v_destination_ids, v_counts
  from (select u.destination_id, count(*)::integer as count from updated as u group by u.destination_id) as c;
  perform outbox.leave_lanes(event_ids, subscription_ids);

  if v_recorded is distinct from cardinality(event_ids) then
    perform outbox.record_late_answers(worker_id, array_agg(row(
      g.event_id, g.subscription_id, g.number, 'delivered', null, null, g.duration_ms, null, null, null, v_responses[g.response_number]
    )::outbox.given_attempt), '{}')
    from rows from (
      unnest(event_ids), unnest(subscription_ids), unnest(numbers), unnest(durations_ms), unnest(response_numbers)
    ) as g (event_id, subscription_id, number, duration_ms, response_number);
  end if;
  perform outbox.record_success(v_destination_ids, v_counts);
  perform outbox.free_slots(event_ids, subscription_ids);
end
$$;
revoke all on function outbox.record_delivered(uuid, uuid[], uuid[], integer[], integer[], jsonb, integer[]) from public;
comment on function outbox.record_delivered(uuid, uuid[], uuid[], integer[], integer[], jsonb, integer[]) is
  'Records a batch of attempts that were delivered; one transaction, and on the happy path one statement. Columns instead of rows of JSON, which cost three times as much to read; responses is an array of the different responses (null for none), and response_numbers says which of them, from 1, each attempt got: most are alike. Fenced like record_attempts.';

create or replace function outbox.record_attempts(worker_id uuid, attempts json)
  returns table (event_id uuid, subscription_id uuid, status text, next_attempt_at timestamptz)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_given constant outbox.given_attempt[] := (
    select array_agg(a order by a.event_id, a.subscription_id)
    from json_populate_recordset(null::outbox.given_attempt, record_attempts.attempts) as a
    where a.outcome <> 'delivered'
  );
  v_recorded constant outbox.recorded_attempt[] := outbox.record_failed(worker_id, v_given);
begin
  perform outbox.record_delivered(
    worker_id, array_agg(a.event_id), array_agg(a.subscription_id), array_agg(a.number), array_agg(a.duration_ms),
    jsonb_agg(a.response), array_agg(a.n))
  from (
    select g.*, row_number() over ()::integer as n
    from json_populate_recordset(null::outbox.given_attempt, record_attempts.attempts) as g
    where g.outcome = 'delivered'
  ) as a
  having count(*) > 0;

  if cardinality(v_given) > coalesce(cardinality(v_recorded), 0) then
    perform outbox.record_late_answers(worker_id, v_given, v_recorded);
  end if;

  insert into outbox.attempts
    (event_id, subscription_id, number, outcome, code, started_at, duration_ms, trigger, requested_by, worker_id,
      destination_id, error, response)
  select
    (r.given).event_id, (r.given).subscription_id, (r.given).number,
    case when r.status = 'dead' then 'dead' else (r.given).outcome end, (r.given).code,
    r.started_at, (r.given).duration_ms, outbox.attempt_trigger((r.given).number, r.requested_by, r.replay_id), r.requested_by,
    record_attempts.worker_id, r.destination_id,
    (r.given).error || case
      when r.expired is not null then format(' (the next attempt would come after %s)', r.expired)
      when r.status = 'dead' and (r.given).outcome = 'retry' then ' (the schedule is used up)'
      else ''
    end,
    (r.given).response
  from unnest(v_recorded) as r;

  perform outbox.record_failures(v_recorded);
  perform outbox.free_slots(array_agg(g.event_id), array_agg(g.subscription_id)) from unnest(v_given) as g;
  perform outbox.leave_lanes(array_agg((r.given).event_id), array_agg((r.given).subscription_id))
  from unnest(v_recorded) as r
  where r.status = 'dead'
  having count(*) > 0;

  perform outbox.wake(array_agg((r.given).event_id), array_agg((r.given).subscription_id), max(r.next_attempt_at))
  from unnest(v_recorded) as r
  where r.job_at is not null
  group by date_trunc('second', r.next_attempt_at);

  return query
  select (r.given).event_id, (r.given).subscription_id, r.status::text, r.next_attempt_at
  from unnest(v_recorded) as r;
end
$$;
revoke all on function outbox.record_attempts(uuid, json) from public;
comment on function outbox.record_attempts(uuid, json) is
  'Records how a batch of attempts ended, whatever way: status and next time of the deliveries, attempt rows, health, disabling on request, next jobs; one transaction. Fenced by attempt number and claim: the late answer of a worker that was given up changes nothing but history. Returns the deliveries that are not delivered.';
