-- What a worker does with a lane whose first delivery it has claimed: it takes those right behind along.

create or replace function outbox.takes_followers(destination outbox.destinations) returns boolean
  language sql stable
as $$
  select coalesce(destination.disabled_at, destination.deleted_at) is null
  and not destination.policy ?| '{rate_per_second,in_flight_max}'
  and not exists (select from outbox.holds as k where k.destination_id = destination.id)
  and not exists (select from outbox.limits as l where l.destination_id = destination.id and l.slowed_to is not null)
$$;
revoke all on function outbox.takes_followers(outbox.destinations) from public;
comment on function outbox.takes_followers(outbox.destinations) is
  'Whether several deliveries of a lane may be claimed at once. Where a limit or a circuit has its say on each, they are claimed one by one.';

create or replace function outbox.followers_of(subscription_id uuid, key text, lane_seq bigint, count integer)
  returns setof outbox.deliveries
  language sql stable
as $$
  select d.*
  from outbox.deliveries as d
  where d.subscription_id = followers_of.subscription_id
  and d.key = followers_of.key
  and d.lane_seq > followers_of.lane_seq
  order by d.lane_seq
  limit followers_of.count
$$;
revoke all on function outbox.followers_of(uuid, text, bigint, integer) from public;
comment on function outbox.followers_of(uuid, text, bigint, integer) is 'So many deliveries right behind this place of a lane, in order.';

create or replace function outbox.claim_followers(worker_id uuid, event_ids uuid[], subscription_ids uuid[], counts integer[])
  returns table (
    event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer,
    tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamptz, lane_seq bigint)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '500ms'
  set jit = off
  set enable_seqscan = off
  set enable_nestloop = on
  set enable_hashjoin = on
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_event_ids uuid[];
  v_subscription_ids uuid[];
begin
  with heads as materialized (
    select k.count, h.subscription_id, h.key, h.lane_seq
    from unnest(event_ids, subscription_ids, counts) as k (event_id, subscription_id, count)
    join outbox.deliveries as h on h.event_id = k.event_id and h.subscription_id = k.subscription_id
    where h.claimed_by = claim_followers.worker_id
  )
  select array_agg(f.event_id order by f.event_id), array_agg(f.subscription_id order by f.event_id)
  into v_event_ids, v_subscription_ids
  from heads as h
  cross join lateral outbox.followers_of(h.subscription_id, h.key, h.lane_seq, h.count) as f
  where not exists (
    select from outbox.deliveries as p
    where p.subscription_id = h.subscription_id
    and p.key = h.key
    and p.lane_seq < h.lane_seq
    and p.claimed_by is distinct from claim_followers.worker_id
  );
  select array_agg(n.event_id), array_agg(n.subscription_id) into v_event_ids, v_subscription_ids
  from (
    select d.event_id, d.subscription_id
    from unnest(v_event_ids, v_subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    for update of d skip locked
  ) as n;
  if v_event_ids is null then
    return;
  end if;

  return query
  with heads as materialized (
    select k.count, h.subscription_id, h.key, h.lane_seq
    from unnest(event_ids, subscription_ids, counts) as k (event_id, subscription_id, count)
    join outbox.deliveries as h on h.event_id = k.event_id and h.subscription_id = k.subscription_id
    where h.claimed_by = claim_followers.worker_id
  ), open as materialized (
    select s.id as subscription_id, t.version,
      now() - make_interval(secs => (outbox.effective_policy(t.policy) ->> 'max_age_seconds')::double precision) as oldest
    from outbox.subscriptions as s
    join outbox.destinations as t on t.id = s.destination_id
    where s.id = any (subscription_ids)
    and outbox.takes_followers(t)
  ), next as materialized (
    select f.event_id, f.subscription_id, o.version,
      bool_and(coalesce(
        l.event_id is not null and f.claimed_by is null and coalesce(e.deliver_after <= now(), true) and f.created_at > o.oldest
        and (
          f.held_reason in ('lane', 'parked')
          or f.status = 'pending' and (f.next_attempt_at is null or f.next_attempt_at <= now())
        ), false)) over (partition by f.subscription_id, f.key order by f.lane_seq) as fits
    from heads as h
    join open as o on o.subscription_id = h.subscription_id
    cross join lateral outbox.followers_of(h.subscription_id, h.key, h.lane_seq, h.count) as f
    join outbox.events as e on e.id = f.event_id
    left join unnest(v_event_ids, v_subscription_ids) as l (event_id, subscription_id)
      on l.event_id = f.event_id and l.subscription_id = f.subscription_id
  ), claimed as (
    update outbox.deliveries as d
    set status = 'pending', held_at = null, held_reason = null, next_attempt_at = now(), job_at = now(),
      attempt_count = d.attempt_count + 1, claimed_by = claim_followers.worker_id, last_attempt_at = clock_timestamp()
    from next as n
    where n.fits
    and d.event_id = n.event_id
    and d.subscription_id = n.subscription_id
    returning d.event_id, d.subscription_id, d.attempt_count, d.destination_id, n.version, d.lane_seq
  )
  select
    c.event_id, c.subscription_id, c.attempt_count, c.destination_id, c.version,
    e.tenant_id, e.topic, e.key, e.payload::text, e.headers, e.traceparent, e.occurred_at, c.lane_seq
  from claimed as c
  join outbox.events as e on e.id = c.event_id
  order by c.lane_seq;
end
$$;
revoke all on function outbox.claim_followers(uuid, uuid[], uuid[], integer[]) from public;
comment on function outbox.claim_followers(uuid, uuid[], uuid[], integer[]) is
  'For each of these deliveries, which the worker has claimed: claims so many of those right behind it in its lane, as far as they may go now without a gap, and reads their events. They must be sent in this order, each only when the one before was delivered.';

create or replace function outbox.unclaim_followers(worker_id uuid, event_ids uuid[], subscription_ids uuid[]) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
  with heads as materialized (
    select h.subscription_id, h.key, h.lane_seq
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as h on h.event_id = k.event_id and h.subscription_id = k.subscription_id
  )
  select outbox.unclaim_deliveries(unclaim_followers.worker_id, array_agg(f.event_id), array_agg(f.subscription_id))
  from heads as h
  cross join lateral outbox.followers_of(h.subscription_id, h.key, h.lane_seq, 1000) as f
  where f.claimed_by = unclaim_followers.worker_id
  having count(*) > 0;
$$;
revoke all on function outbox.unclaim_followers(uuid, uuid[], uuid[]) from public;
comment on function outbox.unclaim_followers(uuid, uuid[], uuid[]) is
  'Gives back all that the worker has claimed behind these deliveries of lanes, for a claim whose answer was lost.';

create or replace function outbox.wake_followers(worker_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  perform outbox.wake(array_agg(d.event_id order by d.seq), array_agg(d.subscription_id order by d.seq))
  from outbox.deliveries as d
  where d.next_attempt_at <= now()
  and d.lane_seq is not null
  and d.claimed_by = any (worker_ids)
  having count(*) > 0;
end
$$;
revoke all on function outbox.wake_followers(uuid[]) from public;
comment on function outbox.wake_followers(uuid[]) is
  'Wakes what lost workers had claimed in lanes: no job of theirs names those that they took along.';

create or replace function outbox.resume_lanes(deliveries outbox.deliveries[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  select outbox.label_lane(l.subscription_id, l.key, 10000)
  from (
    select distinct d.subscription_id, d.key from unnest(deliveries) as d where d.lane_seq is not null and d.dead_at is not null
  ) as l
$$;
revoke all on function outbox.resume_lanes(outbox.deliveries[]) from public;
comment on function outbox.resume_lanes(outbox.deliveries[]) is
  'The dead among these were put back to work: what was parked behind them is backlog again.';

create or replace function outbox.tend_lanes(max integer default 1000) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  v_subscription_id uuid;
  v_key text;
  v_held_reason text;
  v_subscription_ids uuid[] := '{}';
  v_keys text[] := '{}';
begin
  select coalesce(i.tended_subscription_id, '00000000-0000-0000-0000-000000000000'), coalesce(i.tended_key, '')
  into v_subscription_id, v_key
  from outbox.instance as i;
  for n in 1 .. tend_lanes.max loop
    select d.subscription_id, d.key, d.held_reason into v_subscription_id, v_key, v_held_reason
    from outbox.deliveries as d
    where d.lane_seq is not null
    and (d.subscription_id, d.key) > (v_subscription_id, v_key)
    order by d.subscription_id, d.key, d.lane_seq
    limit 1;
    exit when not found;
    if v_held_reason in ('lane', 'parked') then
      v_subscription_ids := v_subscription_ids || v_subscription_id;
      v_keys := v_keys || v_key;
    end if;
    perform outbox.label_lane(s.id, v_key) from outbox.subscriptions as s where s.id = v_subscription_id and s.on_dead = 'park';
  end loop;
  update outbox.instance as i
  set tended_subscription_id = v_subscription_id, tended_key = v_key
  where (i.tended_subscription_id, i.tended_key) is distinct from (v_subscription_id, v_key);
  return outbox.promote_lanes(v_subscription_ids, v_keys);
end
$$;
revoke all on function outbox.tend_lanes(integer) from public;
comment on function outbox.tend_lanes(integer) is
  'The net under the lanes: looks at the first of up to max lanes, going on where it stopped, and puts to work what nobody did. Returns how many.';
