-- The pump: what is held for a destination goes back to work, oldest first, no faster than its circuit and limits allow.

create or replace function outbox.oldest_held(destination_id uuid, max integer) returns setof outbox.deliveries
  language sql volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  select (h.d).*
  from unnest('{destination_disabled,circuit_open,ramp,limit}'::text[]) as r (reason)
  cross join lateral (
    select d
    from outbox.deliveries as d
    where d.destination_id = oldest_held.destination_id
    and d.held_reason = r.reason
    and d.held_at is not null
    order by d.event_id
    limit oldest_held.max
    for update skip locked
  ) as h (d)
  order by (h.d).event_id
  limit oldest_held.max
$$;
revoke all on function outbox.oldest_held(uuid, integer) from public;
comment on function outbox.oldest_held(uuid, integer) is 'The oldest deliveries that the destination itself holds back, locked.';

create or replace function outbox.send_probe(hold outbox.holds) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_probe outbox.deliveries;
begin
  if exists (
    select from outbox.deliveries as d
    where d.event_id = hold.probe_event_id and d.subscription_id = hold.probe_subscription_id and d.status = 'pending'
  ) then
    return 0;
  end if;
  select * into v_probe from outbox.oldest_held(hold.destination_id, 1);
  update outbox.holds as k
  set probe_event_id = v_probe.event_id, probe_subscription_id = v_probe.subscription_id
  where k.destination_id = hold.destination_id;
  if v_probe.event_id is null then
    return 0;
  end if;
  perform outbox.put_back(array[v_probe]);
  return 1;
end
$$;
revoke all on function outbox.send_probe(outbox.holds) from public;
comment on function outbox.send_probe(outbox.holds) is
  'Lets the oldest held delivery try a destination whose circuit is open. One at a time; where nothing is held the next one that is becomes the probe.';

create or replace function outbox.release_limited(hold outbox.holds) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_portion_max constant integer := 5000;
  v_portion constant integer := least(coalesce(hold.ramp_size, v_portion_max), outbox.allowance(hold.destination_id));
  v_released outbox.deliveries[];
begin
  if v_portion < 1 then
    return 0;
  end if;
  select array_agg(o) into v_released from outbox.oldest_held(hold.destination_id, v_portion) as o;
  if v_released is not null then
    perform outbox.put_back(v_released, priority => 1);
  end if;
  if v_released is null or cardinality(v_released) < v_portion then
    delete from outbox.holds as k where k.destination_id = hold.destination_id;
  elsif hold.reason = 'ramp' then
    update outbox.holds as k
    set ramp_size = least(k.ramp_size * 2, v_portion_max), ramp_at = now() + interval '1 second'
    where k.destination_id = hold.destination_id;
  end if;
  return coalesce(cardinality(v_released), 0);
end
$$;
revoke all on function outbox.release_limited(outbox.holds) from public;
comment on function outbox.release_limited(outbox.holds) is
  'Puts back what the ramp and the limits of a destination allow right now. Once nothing is left, new deliveries get jobs again.';

create or replace function outbox.release_held() returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold outbox.holds;
  v_released integer := 0;
begin
  perform outbox.speed_up();
  delete from outbox.slots as s
  where s.taken_at < now() - interval '5 seconds'
  and not exists (
    select from outbox.deliveries as d
    where d.event_id = s.event_id and d.subscription_id = s.subscription_id and d.claimed_by is not null
  );
  for v_hold in
    select k.*
    from outbox.holds as k
    join outbox.destinations as t on t.id = k.destination_id
    where t.disabled_at is null
    and t.deleted_at is null
    and coalesce(k.next_probe_at, k.ramp_at, now()) <= now()
    for update of k skip locked
  loop
    v_released := v_released +
      case v_hold.reason when 'circuit_open' then outbox.send_probe(v_hold) else outbox.release_limited(v_hold) end;
  end loop;
  return v_released;
end
$$;
revoke all on function outbox.release_held() from public;
comment on function outbox.release_held() is
  'Sends the probes that are due, and puts back what ramps and limits allow. Workers call it four times a second. Returns how many went back to work.';

create or replace function outbox.hold_strays() returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_destination_id uuid := '00000000-0000-0000-0000-000000000000';
  v_found integer := 0;
begin
  loop
    select d.destination_id into v_destination_id
    from outbox.deliveries as d
    where d.held_at is not null
    and d.destination_id > v_destination_id
    order by d.destination_id
    limit 1;
    exit when not found;
    if exists (select from outbox.destinations as t where t.id = v_destination_id and t.deleted_at is not null) then
      perform outbox.cancel_waiting(v_destination_id, null, 'destination_deleted');
      v_found := v_found + 1;
      continue;
    end if;
    insert into outbox.holds (destination_id, reason, ramp_size, ramp_at)
    select t.id, 'ramp', 10, now()
    from outbox.destinations as t
    where t.id = v_destination_id
    and t.disabled_at is null
    and t.deleted_at is null
    and not exists (select from outbox.holds as k where k.destination_id = t.id)
    and exists (select from outbox.oldest_held(t.id, 1))
    on conflict do nothing;
    v_found := v_found + found::integer;
  end loop;
  return v_found;
end
$$;
revoke all on function outbox.hold_strays() from public;
comment on function outbox.hold_strays() is
  'Finds deliveries that a producer''s transaction still held while their destination was already released, and has them put back, or while it was deleted, and cancels them. Reads one row for each destination for which something is held. Returns how many destinations.';
