-- Limits that hold over the whole fleet: attempts a second, and deliveries under way.

create or replace function outbox.is_any_limited(subscription_ids uuid[]) returns boolean
  language sql stable
as $$
  select exists (
    select from outbox.subscriptions as s
    join outbox.destinations as t on t.id = s.destination_id
    where s.id = any (subscription_ids)
    and (t.policy ?| '{rate_per_second,in_flight_max}' or exists (
      select from outbox.limits as l where l.destination_id = t.id and l.slowed_to is not null))
  )
$$;
revoke all on function outbox.is_any_limited(uuid[]) from public;
comment on function outbox.is_any_limited(uuid[]) is 'Whether the destination of any of these subscriptions has a limit, or is slowed down.';

create or replace function outbox.allowance(destination_id uuid) returns integer
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  select least(
    floor(p.burst - greatest(extract(epoch from l.used_until - clock_timestamp()), 0) * p.rate),
    least(p.in_flight_max, l.slowed_to) - (select count(*) from outbox.slots as s where s.destination_id = allowance.destination_id))::integer
  from outbox.destinations as t
  left join outbox.limits as l on l.destination_id = t.id
  cross join lateral (
    select rate_per_second as rate, coalesce(burst, greatest(1, ceil(rate_per_second))) as burst, in_flight_max
    from jsonb_to_record(t.policy) as f (rate_per_second numeric, burst numeric, in_flight_max numeric)
  ) as p
  where t.id = allowance.destination_id
$$;
revoke all on function outbox.allowance(uuid) from public;
comment on function outbox.allowance(uuid) is
  'How many attempts the limits of a destination let start right now; below 1 for none, null where there is no limit. The rate is a generic cell rate algorithm: burst at once, then one each interval.';

create or replace function outbox.admit_deliveries(inout event_ids uuid[], inout subscription_ids uuid[])
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination record;
  v_refused outbox.deliveries[] := '{}';
begin
  for v_destination in
    select t.id
    from outbox.destinations as t
    where t.id in (select s.destination_id from outbox.subscriptions as s where s.id = any (admit_deliveries.subscription_ids))
    and (t.policy ?| '{rate_per_second,in_flight_max}' or exists (
      select from outbox.limits as l where l.destination_id = t.id and l.slowed_to is not null))
    and t.disabled_at is null
    and not exists (select from outbox.holds as k where k.destination_id = t.id and k.reason = 'circuit_open')
    order by t.id
  loop
    v_refused := v_refused || outbox.admit_for(v_destination.id, admit_deliveries.event_ids, admit_deliveries.subscription_ids);
  end loop;
  if cardinality(v_refused) = 0 then
    return;
  end if;
  update outbox.deliveries as d
  set status = 'held', held_at = now(), held_reason = 'limit', next_attempt_at = null, job_at = null
  from unnest(v_refused) as r
  where d.event_id = r.event_id
  and d.subscription_id = r.subscription_id
  and d.status = 'pending'
  and d.claimed_by is null;
  insert into outbox.holds (destination_id, reason)
  select distinct r.destination_id, 'limit' from unnest(v_refused) as r
  on conflict do nothing;
  select array_agg(k.event_id), array_agg(k.subscription_id)
  into admit_deliveries.event_ids, admit_deliveries.subscription_ids
  from unnest(admit_deliveries.event_ids, admit_deliveries.subscription_ids) as k (event_id, subscription_id)
  where not exists (select from unnest(v_refused) as r where r.event_id = k.event_id and r.subscription_id = k.subscription_id);
end
$$;
revoke all on function outbox.admit_deliveries(uuid[], uuid[]) from public;
comment on function outbox.admit_deliveries(uuid[], uuid[]) is
  'Which of these deliveries the limits of their destinations let a worker claim now. The others are held, without an attempt, a job or a worker''s place.';

create or replace function outbox.admit_for(destination_id uuid, event_ids uuid[], subscription_ids uuid[]) returns outbox.deliveries[]
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_rate numeric;
  v_waiting outbox.deliveries[];
  v_allowed integer;
begin
  insert into outbox.limits (destination_id) values (admit_for.destination_id) on conflict do nothing;
  perform from outbox.limits as l where l.destination_id = admit_for.destination_id for update;
  select array_agg(d order by d.seq) into v_waiting
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
  where d.destination_id = admit_for.destination_id
  and d.status = 'pending'
  and d.claimed_by is null
  and d.error_code is distinct from 'poison'
  and (d.next_attempt_at is null or d.next_attempt_at <= now());
  if v_waiting is null then
    return '{}';
  end if;
  v_allowed := greatest(0, least(cardinality(v_waiting), outbox.allowance(admit_for.destination_id)));
  select (t.policy ->> 'rate_per_second')::numeric into v_rate from outbox.destinations as t where t.id = admit_for.destination_id;
  update outbox.limits as l
  set used_until = greatest(l.used_until, clock_timestamp()) + make_interval(secs => (v_allowed / v_rate)::double precision)
  where l.destination_id = admit_for.destination_id
  and v_rate is not null;
  insert into outbox.slots (event_id, subscription_id, destination_id)
  select w.event_id, w.subscription_id, w.destination_id
  from unnest(v_waiting[1:v_allowed]) as w
  on conflict do nothing;
  return coalesce(v_waiting[v_allowed + 1:], '{}');
end
$$;
revoke all on function outbox.admit_for(uuid, uuid[], uuid[]) from public;
comment on function outbox.admit_for(uuid, uuid[], uuid[]) is
  'Takes from the limits of one destination for as many of its deliveries as they allow, oldest first; returns the others. Exact over the fleet: the row of its limits is locked.';

create or replace function outbox.free_slots(event_ids uuid[], subscription_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = on
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_destination_id uuid;
begin
  if not exists (select from outbox.slots) then
    return;
  end if;
  for v_destination_id in
    with freed as (
      delete from outbox.slots as s
      using unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
      where s.event_id = k.event_id
      and s.subscription_id = k.subscription_id
      and not exists (
        select from outbox.deliveries as d
        where d.event_id = k.event_id and d.subscription_id = k.subscription_id and d.claimed_by is not null
      )
      returning s.destination_id
    )
    select distinct f.destination_id from freed as f order by 1
  loop
    perform outbox.release_limited(k) from outbox.holds as k
    where k.destination_id = v_destination_id
    and k.reason = 'limit'
    for update skip locked;
  end loop;
end
$$;
revoke all on function outbox.free_slots(uuid[], uuid[]) from public;
comment on function outbox.free_slots(uuid[], uuid[]) is
  'Those of these deliveries that are under way no more give up their places, and the next are put back at once.';

create or replace function outbox.slow_down(recorded outbox.recorded_attempt[]) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  insert into outbox.limits as l (destination_id, slowed_to, slowed_at)
  select r.destination_id, 32, now()
  from unnest(recorded) as r
  where (r.given).code = 'throttled'
  or (r.given).response ->> 'status' in ('429', '502', '504')
  group by r.destination_id
  order by r.destination_id
  on conflict (destination_id) do update
  set slowed_to = greatest(coalesce(l.slowed_to, 64) / 2, 1), slowed_at = now()
  where l.slowed_at is null
  or l.slowed_at < now() - interval '1 second'
$$;
revoke all on function outbox.slow_down(outbox.recorded_attempt[]) from public;
comment on function outbox.slow_down(outbox.recorded_attempt[]) is
  'A destination that says it has too much (429, 502, 504, throttled) gets fewer deliveries at once: 32, and half of that each second in which it says so again, down to one.';

create or replace function outbox.speed_up() returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.limits as l
  set slowed_to = case when l.slowed_to < 64 then l.slowed_to * 2 end, slowed_at = case when l.slowed_to < 64 then now() end
  where l.slowed_at < now() - interval '5 seconds'
$$;
revoke all on function outbox.speed_up() from public;
comment on function outbox.speed_up() is 'Destinations that asked for less, and have not for 5 seconds, get twice as many at once; past 64 they are slowed no more.';
