-- Lanes: the deliveries of one key of an ordered subscription. Only the first of a lane may be claimed, together with those
-- right behind it; the others are held, and whoever takes the first out of its lane brings the next to the front.
-- "coalesce(lane_seq, 0) > 0" says "is in a lane" without offering the planner the index of lanes, which it believes to be small:
-- deliveries that are known by name are to be found by their name.

create or replace function outbox.leads_lane(subscription_id uuid, key text, lane_seq bigint) returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  return not exists (
    select from outbox.deliveries as p
    where p.subscription_id = leads_lane.subscription_id
    and p.key = leads_lane.key
    and p.lane_seq < leads_lane.lane_seq
  );
end
$$;
revoke all on function outbox.leads_lane(uuid, text, bigint) from public;
comment on function outbox.leads_lane(uuid, text, bigint) is
  'Whether nothing is before this place of the lane. Once true it stays so: a place that was left is never taken again.';

create or replace function outbox.lane_reason(subscription_id uuid, key text) returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select case when s.on_dead = 'park' and exists (
    select from (
      select d.dead_at from outbox.deliveries as d
      where d.subscription_id = lane_reason.subscription_id
      and d.key = lane_reason.key
      and d.lane_seq is not null
      order by d.lane_seq
      limit 1
    ) as first
    where first.dead_at is not null
  ) then 'parked' else 'lane' end
  from (select lane_reason.subscription_id as id) as given
  left join outbox.subscriptions as s on s.id = given.id
$$;
revoke all on function outbox.lane_reason(uuid, text) from public;
comment on function outbox.lane_reason(uuid, text) is 'Why those behind the first of this lane are held: lane, or parked behind a dead one.';

create or replace function outbox.line_up(inout event_ids uuid[], inout subscription_ids uuid[])
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = on
  set jit = off
as $$
begin
  if cardinality(event_ids) = 1 then
    return;
  end if;
  with places as (
    select d.event_id, d.subscription_id, row_number() over (partition by d.subscription_id, d.key order by d.lane_seq) as place
    from unnest(line_up.event_ids, line_up.subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    where coalesce(d.lane_seq, 0) > 0
  ), held as (
    update outbox.deliveries as d
    set status = 'held', held_at = now(), held_reason = 'lane'
    from places as p
    where p.place > 1
    and d.event_id = p.event_id
    and d.subscription_id = p.subscription_id
    returning d.event_id, d.subscription_id
  )
  select array_agg(k.event_id order by k.n), array_agg(k.subscription_id order by k.n)
  into line_up.event_ids, line_up.subscription_ids
  from unnest(line_up.event_ids, line_up.subscription_ids) with ordinality as k (event_id, subscription_id, n)
  left join held as h on h.event_id = k.event_id and h.subscription_id = k.subscription_id
  where h.event_id is null;
end
$$;
revoke all on function outbox.line_up(uuid[], uuid[]) from public;
comment on function outbox.line_up(uuid[], uuid[]) is
  'Of deliveries that were just made and have no jobs yet: holds all but the first of each lane, and leaves those that are to be woken. Only what one transaction inserts together is held here: whoever takes its first out of the lane sees the others. A delivery that comes alone gets a job, and its claim decides.';

create or replace function outbox.settle_lanes(event_ids uuid[], subscription_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_soon constant timestamptz := now() + interval '50 ms';
  v_waiting outbox.deliveries[];
begin
  select array_agg(w.d) into v_waiting
  from (
    select d
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    where coalesce(d.lane_seq, 0) > 0
    and d.status = 'pending'
    and d.claimed_by is null
    and (d.next_attempt_at is null or d.next_attempt_at <= now())
    for update of d skip locked
  ) as w;
  if v_waiting is null then
    return;
  end if;

  with places as materialized (
    select w.event_id, w.subscription_id, w.key, b.event_id is not null as follows
    from unnest(v_waiting) as w
    left join lateral (
      select p.event_id
      from outbox.deliveries as p
      where p.subscription_id = w.subscription_id
      and p.key = w.key
      and p.lane_seq < w.lane_seq
      order by p.lane_seq desc
      limit 1
      for share skip locked
    ) as b on true
  ), settled as (
    update outbox.deliveries as d
    set status = case when p.follows then 'held' else 'pending' end::outbox.delivery_status,
      held_at = case when p.follows then now() end,
      held_reason = case when p.follows then outbox.lane_reason(p.subscription_id, p.key) end,
      next_attempt_at = case when not p.follows then v_soon end,
      job_at = case when not p.follows then now() end
    from places as p
    where d.event_id = p.event_id
    and d.subscription_id = p.subscription_id
    returning d.event_id, d.subscription_id, d.status
  )
  select array_agg(s.event_id), array_agg(s.subscription_id)
  into event_ids, subscription_ids
  from settled as s
  where s.status = 'pending';
  if event_ids is not null then
    perform outbox.wake(event_ids, subscription_ids, v_soon);
  end if;
end
$$;
revoke all on function outbox.settle_lanes(uuid[], uuid[]) from public;
comment on function outbox.settle_lanes(uuid[], uuid[]) is
  'Holds those of the deliveries that are behind others of their lane. The one before is locked meanwhile: whoever takes it out of the lane comes later and sees what was held. If it is being taken out right now, nothing is known, and the delivery gets a new job instead.';

create or replace function outbox.promote_lanes(subscription_ids uuid[], keys text[]) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '500ms'
  set enable_seqscan = off
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_event_ids uuid[];
  v_promoted integer;
begin
  with firsts as (
    select f.event_id, f.subscription_id, e.deliver_after
    from (select distinct l.* from unnest(subscription_ids, keys) as l (subscription_id, key)) as l
    cross join lateral (
      select d.event_id, d.subscription_id
      from outbox.deliveries as d
      where d.subscription_id = l.subscription_id
      and d.key = l.key
      and d.lane_seq is not null
      order by d.lane_seq
      limit 1
    ) as f
    join outbox.events as e on e.id = f.event_id
    order by f.event_id
  ), promoted as (
    update outbox.deliveries as d
    set status = 'pending', held_at = null, held_reason = null,
      next_attempt_at = greatest(now(), f.deliver_after),
      job_at = case when coalesce(f.deliver_after <= now(), true) then now() end
    from firsts as f
    where d.event_id = f.event_id
    and d.subscription_id = f.subscription_id
    and coalesce(d.lane_seq, 0) > 0
    and d.claimed_by is null
    and (
      d.held_reason in ('lane', 'parked')
      or d.status = 'pending' and (d.next_attempt_at is null or d.next_attempt_at <= now())
    )
    returning d.event_id, d.subscription_id, d.job_at
  )
  select
    array_agg(p.event_id) filter (where p.job_at is not null),
    array_agg(p.subscription_id) filter (where p.job_at is not null), count(*)
  into v_event_ids, subscription_ids, v_promoted
  from promoted as p;
  if v_event_ids is not null then
    perform outbox.wake(v_event_ids, subscription_ids);
  end if;
  return v_promoted;
exception when lock_not_available then
  -- Somebody keeps a transaction open over one of them: outbox.tend_lanes comes by later.
  return 0;
end
$$;
revoke all on function outbox.promote_lanes(uuid[], text[]) from public;
comment on function outbox.promote_lanes(uuid[], text[]) is
  'Puts the first of each of these lanes to work, if it was held for the order only. Returns how many.';

create or replace function outbox.leave_lanes(event_ids uuid[], subscription_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_ordered constant outbox.subscriptions[] := array(
    select s from outbox.subscriptions as s where s.has_lanes and s.id = any (subscription_ids));
  v_skipping constant uuid[] := array(select s.id from unnest(v_ordered) as s where s.on_dead = 'skip');
  v_parking constant uuid[] := array(select s.id from unnest(v_ordered) as s where s.on_dead = 'park');
  v_subscription_ids uuid[];
  v_keys text[];
begin
  if cardinality(v_ordered) = 0 then
    return;
  end if;
  with gone as (
    update outbox.deliveries as d
    set lane_seq = null
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    where d.event_id = k.event_id
    and d.subscription_id = k.subscription_id
    and coalesce(d.lane_seq, 0) > 0
    and (d.status in ('delivered', 'cancelled') or d.status = 'dead' and d.subscription_id = any (v_skipping))
    returning d.subscription_id, d.key
  )
  select array_agg(g.subscription_id), array_agg(g.key) into v_subscription_ids, v_keys from gone as g;
  if v_keys is not null then
    perform outbox.promote_lanes(v_subscription_ids, v_keys);
  end if;
  perform outbox.label_lane(d.subscription_id, d.key)
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
  where k.subscription_id = any (v_parking)
  and coalesce(d.lane_seq, 0) > 0
  and coalesce(d.dead_at <= now(), false);
end
$$;
revoke all on function outbox.leave_lanes(uuid[], uuid[]) from public;
comment on function outbox.leave_lanes(uuid[], uuid[]) is
  'Those of the deliveries that have ended leave their lanes, and the next of each lane is put to work; behind one that died, the next wait or are parked where the subscription says so. For subscriptions without lanes it reads one index page.';

create or replace function outbox.label_lane(subscription_id uuid, key text, max integer default 1000) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  v_reason constant text := outbox.lane_reason(label_lane.subscription_id, label_lane.key);
  v_labelled integer;
begin
  update outbox.deliveries as d
  set held_reason = v_reason
  from (
    select f.event_id, f.subscription_id
    from outbox.deliveries as f
    where f.subscription_id = label_lane.subscription_id
    and f.key = label_lane.key
    and f.lane_seq is not null
    and f.held_reason in ('lane', 'parked')
    and f.held_reason <> v_reason
    order by f.lane_seq
    limit label_lane.max
    for update skip locked
  ) as f
  where d.event_id = f.event_id
  and d.subscription_id = f.subscription_id;
  get diagnostics v_labelled = row_count;
  return v_labelled;
end
$$;
revoke all on function outbox.label_lane(uuid, text, integer) from public;
comment on function outbox.label_lane(uuid, text, integer) is
  'Lets what is held in a lane say whether it is parked. At most max at once, outbox.tend_lanes does the rest; returns how many.';

create or replace function outbox.may_fan_out_deferred() returns boolean
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  select not exists (select from outbox.subscriptions as s where s.has_lanes)
    or pg_try_advisory_xact_lock(hashtext('outbox.fan_out_deferred'))
$$;
revoke all on function outbox.may_fan_out_deferred() from public;
comment on function outbox.may_fan_out_deferred() is
  'Whether this transaction may fan out deferred events. With lanes only one may at a time: two would put the events of a key on their way in any order.';
