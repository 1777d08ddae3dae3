-- The first round trip of the worker: claim a batch and read all that is needed to send it.

create or replace function outbox.worker_lease() returns interval
  language sql immutable parallel safe
  return interval '10 seconds';
revoke all on function outbox.worker_lease() from public;
comment on function outbox.worker_lease() is 'A worker whose heartbeat is older than this is lost. Workers beat every 2 seconds.';

create or replace function outbox.is_live(worker_id uuid) returns boolean
  language sql stable
as $$
  select exists (
    select from outbox.workers as w
    where w.id = worker_id
    and w.heartbeat_at > now() - outbox.worker_lease()
  )
$$;
revoke all on function outbox.is_live(uuid) from public;
comment on function outbox.is_live(uuid) is 'Whether this worker still beats.';

create or replace function outbox.least_of(ids uuid[]) returns uuid
  language sql immutable parallel safe
  return (select i from unnest(ids) as i order by i limit 1);
revoke all on function outbox.least_of(uuid[]) from public;
comment on function outbox.least_of(uuid[]) is 'The first of these ids; min(uuid) came with Postgres 18.';

create or replace function outbox.greatest_of(ids uuid[]) returns uuid
  language sql immutable parallel safe
  return (select i from unnest(ids) as i order by i desc limit 1);
revoke all on function outbox.greatest_of(uuid[]) from public;
comment on function outbox.greatest_of(uuid[]) is 'The last of these ids.';

create or replace function outbox.claim_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns table (
    event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer,
    tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamptz, lane_seq bigint)
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set lock_timeout = '500ms'
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
begin
  return query
  with open as materialized (
    select
      s.id as subscription_id, t.version, now() - outbox.max_age(t.policy) as counted_from_min,
      k.destination_id is not null as is_circuit_open, k.probe_event_id, k.probe_subscription_id
    from outbox.subscriptions as s
    join outbox.destinations as t on t.id = s.destination_id
    left join outbox.holds as k on k.destination_id = t.id and k.reason = 'circuit_open'
    where s.id = any (subscription_ids)
    and t.id = any (array(select o.destination_id from outbox.subscriptions as o where o.id = any (subscription_ids)))
    and coalesce(t.disabled_at, t.deleted_at) is null
  ), claimed as (
    update outbox.deliveries as d
    set attempt_count = d.attempt_count + 1, claimed_by = claim_deliveries.worker_id, last_attempt_at = clock_timestamp()
    from open as o
    where d.event_id = any (event_ids)
    and d.event_id between v_first and v_last
    and d.subscription_id between v_first_subscription and v_last_subscription
    and (d.event_id, d.subscription_id) in (select * from unnest(event_ids, subscription_ids))
    and d.subscription_id = o.subscription_id
    and (not o.is_circuit_open or d.event_id = o.probe_event_id and d.subscription_id = o.probe_subscription_id)
    and d.status = 'pending'
    and d.claimed_by is null
    and d.error_code is distinct from 'poison'
    and (d.next_attempt_at is null or d.next_attempt_at <= now())
    and (d.expires_at is null or d.expires_at > now())
    and coalesce(d.counted_from, d.created_at) > o.counted_from_min
    and (d.lane_seq is null or outbox.leads_lane(d.subscription_id, d.key, d.lane_seq))
    returning d.event_id, d.subscription_id, d.attempt_count, d.destination_id, o.version, d.lane_seq
  )
  select
    c.event_id, c.subscription_id, c.attempt_count, c.destination_id, c.version,
    e.tenant_id, e.topic, e.key, e.payload::text, e.headers, e.traceparent, e.occurred_at, c.lane_seq
  from claimed as c
  join outbox.events as e on e.id = c.event_id
  where e.id = any (event_ids)
  and e.id between v_first and v_last;
end
$$;
revoke all on function outbox.claim_deliveries(uuid, uuid[], uuid[]) from public;
comment on function outbox.claim_deliveries(uuid, uuid[], uuid[]) is
  'Claims those of the deliveries that are due, unclaimed, not expired, not disabled (of an open circuit only the probe), not behind others of their lane and no suspects (outbox.claim_suspect), and reads their events. Each table is read by one index scan for all ids, and joined by hash: a look-up a row, each with its own choice of partition, takes twice the time. The bounds spare the partitions of history and, where a batch is for one subscription, the events'' other deliveries.';

create or replace function outbox.settle_unclaimed(worker_id uuid, event_ids uuid[], subscription_ids uuid[]) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_freed integer;
begin
  update outbox.deliveries as d
  set status = case when t.id is null or t.deleted_at is not null then 'cancelled' else 'held' end::outbox.delivery_status,
    error_code = case
      when t.id is null then 'subscription_deleted' when t.deleted_at is not null then 'destination_deleted' else d.error_code end,
    finished_at = case when t.id is null or t.deleted_at is not null then now() end,
    held_at = case when t.deleted_at is null and t.id is not null then now() end,
    held_reason = case
      when t.id is null or t.deleted_at is not null then null
      when t.disabled_at is not null then 'destination_disabled'
      else 'circuit_open' end,
    next_attempt_at = null, job_at = null,
    lane_seq = case when t.deleted_at is null and t.id is not null then d.lane_seq end
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  left join outbox.subscriptions as s on s.id = k.subscription_id
  left join outbox.destinations as t on t.id = s.destination_id
  left join outbox.holds as h on h.destination_id = t.id and h.reason = 'circuit_open'
  where d.event_id = k.event_id
  and d.subscription_id = k.subscription_id
  and d.status = 'pending'
  and d.claimed_by is null
  and (t.id is null or t.deleted_at is not null or (
    (d.next_attempt_at is null or d.next_attempt_at <= now())
    and (t.disabled_at is not null or h.destination_id is not null
      and (d.event_id, d.subscription_id) is distinct from (h.probe_event_id, h.probe_subscription_id))
  ));

  perform outbox.expire(event_ids, subscription_ids);

  with lost as (
    select d.event_id, d.subscription_id, d.attempt_count, d.last_attempt_at, d.claimed_by, d.destination_id, outbox.requested_by(d, 0) as requested_by,
      d.replay_id
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    where d.claimed_by <> settle_unclaimed.worker_id
    and not outbox.is_live(d.claimed_by)
    order by 1, 2
    for update of d
  ), closed as (
    insert into outbox.attempts
      (event_id, subscription_id, number, outcome, code, started_at, trigger, requested_by, worker_id, destination_id, error)
    select l.event_id, l.subscription_id, l.attempt_count, 'unknown', 'worker_lost', l.last_attempt_at,
      outbox.attempt_trigger(l.attempt_count, l.requested_by, l.replay_id), l.requested_by, l.claimed_by, l.destination_id,
      'The worker was lost before it could record the answer. The event may have arrived.'
    from lost as l
  )
  update outbox.deliveries as d
  set claimed_by = null, error_code = case d.error_code when 'poison' then 'poison' else 'worker_lost' end
  from lost as l
  where d.event_id = l.event_id
  and d.subscription_id = l.subscription_id;
  get diagnostics v_freed = row_count;
  if v_freed > 0 then
    perform outbox.quarantine(event_ids, subscription_ids);
  end if;
  return v_freed;
end
$$;
revoke all on function outbox.settle_unclaimed(uuid, uuid[], uuid[]) from public;
comment on function outbox.settle_unclaimed(uuid, uuid[], uuid[]) is
  'What becomes of deliveries that could not be claimed: held where the destination is disabled or its circuit is open, cancelled where it is gone, dead where their time is over, and freed where the claiming worker is lost (its attempt is closed as unknown; outbox.quarantine has a look at them). Returns how many were freed.';

create or replace function outbox.attempt_trigger(number integer, requested_by text, replay_id bigint) returns text
  language sql immutable parallel safe
as $$
  select case when requested_by is not null and replay_id is not null then 'replay' when requested_by is not null then 'redrive' when number = 1 then 'event' else 'retry' end
$$;
revoke all on function outbox.attempt_trigger(integer, text, bigint) from public;
comment on function outbox.attempt_trigger(integer, text, bigint) is 'What asked for an attempt: the event, the schedule or a person.';

create or replace function outbox.requested_by(delivery outbox.deliveries, failures_since integer) returns text
  language sql immutable parallel safe
as $$
  select case when delivery.failure_count = failures_since then delivery.redriven_by end
$$;
revoke all on function outbox.requested_by(outbox.deliveries, integer) from public;
comment on function outbox.requested_by(outbox.deliveries, integer) is
  'Who asked for the attempt: a redrive or replay sets failure_count to 0, so the attempts until the next failure are that person''s.';

create or replace function outbox.load_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns table (
    event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer,
    tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamptz, lane_seq bigint)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_limited constant boolean := outbox.is_any_limited(subscription_ids);
  v_claimed integer;
begin
  if v_limited then
    select a.event_ids, a.subscription_ids into event_ids, subscription_ids from outbox.admit_deliveries(event_ids, subscription_ids) as a;
  end if;
  begin
    return query select * from outbox.claim_deliveries(worker_id, event_ids, subscription_ids);
    get diagnostics v_claimed = row_count;
  exception when lock_not_available then
    -- Somebody keeps a transaction open over one of them: the others do not wait for it, it is woken again later.
    select array_agg(f.event_id), array_agg(f.subscription_id)
    into event_ids, subscription_ids
    from (
      select d.event_id, d.subscription_id
      from unnest(load_deliveries.event_ids, load_deliveries.subscription_ids) as k (event_id, subscription_id)
      join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
      for update of d skip locked
    ) as f;
    return query select * from outbox.claim_deliveries(worker_id, event_ids, subscription_ids);
    get diagnostics v_claimed = row_count;
  end;
  if v_claimed < cardinality(event_ids) then
    if outbox.settle_unclaimed(worker_id, event_ids, subscription_ids) > 0 then
      if v_limited then
        perform outbox.free_slots(event_ids, subscription_ids);
        select a.event_ids, a.subscription_ids into event_ids, subscription_ids from outbox.admit_deliveries(event_ids, subscription_ids) as a;
      end if;
      return query select * from outbox.claim_deliveries(worker_id, event_ids, subscription_ids);
    end if;
    return query select * from outbox.claim_suspect(worker_id, event_ids, subscription_ids);
    perform outbox.settle_lanes(event_ids, subscription_ids);
  end if;
end
$$;
revoke all on function outbox.load_deliveries(uuid, uuid[], uuid[]) from public;
comment on function outbox.load_deliveries(uuid, uuid[], uuid[]) is
  'Claims a batch of deliveries for the worker and reads what it needs to send them. Deliveries that are not to run now, or that a limit does not let through, are left out.';
