create or replace function outbox.fan_out_deferred(max_events integer default 10000) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event_ids uuid[];
begin
  if not outbox.may_fan_out_deferred() then
    return 0;
  end if;
  with taken as (
    delete from outbox.deferred_events as q
    where q.id in (
      select c.id
      from (
        select t.id, sum(cardinality(t.event_ids)) over (order by t.id) - cardinality(t.event_ids) as before
        from (
          select q.id, q.event_ids from outbox.deferred_events as q order by q.id limit 1000 for update skip locked
        ) as t
      ) as c
      where c.before < max_events
    )
    returning q.event_ids
  )
  select array_agg(i.id) into v_event_ids from taken as t cross join lateral unnest(t.event_ids) as i (id);
  if v_event_ids is null then
    return 0;
  end if;
  perform outbox.fan_out_events(v_event_ids);
  return cardinality(v_event_ids);
end
$$;
revoke all on function outbox.fan_out_deferred(integer) from public;
comment on function outbox.fan_out_deferred(integer) is
  'Fans out what was committed with outbox.fan_out = deferred, in bulk. Any number of workers may call it at once; where a subscription is ordered, one at a time does it. Returns how many events it took.';
