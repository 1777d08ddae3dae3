-- When a delivery is worth no further attempt: its event has expired, or it has reached the maximum age of the policy.

create or replace function outbox.max_age(policy jsonb) returns interval
  language sql immutable parallel safe
as $$
  select make_interval(
    secs => coalesce(policy ->> 'max_age_seconds', outbox.default_policy() ->> 'max_age_seconds')::double precision)
$$;
revoke all on function outbox.max_age(jsonb) from public;
comment on function outbox.max_age(jsonb) is 'The maximum age of deliveries under this policy of a destination.';

create or replace function outbox.expiry_of(delivery outbox.deliveries, policy jsonb) returns timestamptz
  language sql stable parallel safe
as $$
  select least(delivery.expires_at, coalesce(delivery.counted_from, delivery.created_at) + outbox.max_age(policy))
$$;
revoke all on function outbox.expiry_of(outbox.deliveries, jsonb) from public;
comment on function outbox.expiry_of(outbox.deliveries, jsonb) is 'No attempt of the delivery starts at this time or later.';

create or replace function outbox.expire(event_ids uuid[], subscription_ids uuid[]) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_expired integer;
begin
  update outbox.deliveries as d
  set status = 'dead', error_code = 'expired', dead_at = now(), finished_at = now(), next_attempt_at = null, job_at = null,
    held_at = null, held_reason = null
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id), outbox.destinations as t
  where d.event_id = k.event_id
  and d.subscription_id = k.subscription_id
  and t.id = d.destination_id
  and d.status in ('pending', 'held')
  and d.claimed_by is null
  and outbox.expiry_of(d, t.policy) <= now();
  get diagnostics v_expired = row_count;
  if v_expired > 0 then
    perform outbox.leave_lanes(event_ids, subscription_ids);
  end if;
  return v_expired;
end
$$;
revoke all on function outbox.expire(uuid[], uuid[]) from public;
comment on function outbox.expire(uuid[], uuid[]) is
  'Ends those of the deliveries whose time is over as dead, without an attempt; one in flight goes on and counts if it succeeds. Returns how many.';

create or replace function outbox.expire_deliveries(max integer default 1000) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_event_ids uuid[];
  v_subscription_ids uuid[];
begin
  if not pg_try_advisory_xact_lock(hashtext('outbox.expire_deliveries')) then
    return 0;
  end if;
  with recursive holding (destination_id) as (
    (select d.destination_id from outbox.deliveries as d where d.held_at is not null order by d.destination_id limit 1)
    union all
    select (
      select d.destination_id from outbox.deliveries as d
      where d.held_at is not null and d.destination_id > h.destination_id order by d.destination_id limit 1
    )
    from holding as h where h.destination_id is not null
  ), over as (
    (
      select d.event_id, d.subscription_id
      from outbox.deliveries as d
      where d.held_at is not null
      and d.expires_at is not null
      and d.expires_at <= now()
      order by d.expires_at
      limit expire_deliveries.max
    )
    union
    (
      select a.event_id, a.subscription_id
      from holding as h
      join outbox.destinations as t on t.id = h.destination_id
      cross join lateral (
        select d.event_id, d.subscription_id
        from outbox.deliveries as d
        where d.destination_id = t.id
        and d.held_at is not null
        and coalesce(d.counted_from, d.created_at) <= now() - outbox.max_age(t.policy)
        order by coalesce(d.counted_from, d.created_at)
        limit expire_deliveries.max
      ) as a
      limit expire_deliveries.max
    )
  ), free as (
    select d.event_id, d.subscription_id
    from over as o
    join outbox.deliveries as d on d.event_id = o.event_id and d.subscription_id = o.subscription_id
    for update of d skip locked
  )
  select array_agg(f.event_id), array_agg(f.subscription_id) into v_event_ids, v_subscription_ids from free as f;
  return case when v_event_ids is null then 0 else outbox.expire(v_event_ids, v_subscription_ids) end;
end
$$;
revoke all on function outbox.expire_deliveries(integer) from public;
comment on function outbox.expire_deliveries(integer) is
  'Ends held deliveries whose time is over, whatever they are held for: nobody else looks at them. Those that are pending meet their time at their claim. Returns how many.';
