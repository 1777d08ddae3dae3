create or replace function outbox.fan_out_events(event_ids uuid[], lost_only boolean default false) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_event_ids uuid[];
  v_subscription_ids uuid[];
  v_created integer;
  v_ordered boolean;
begin
  with created as (
    insert into outbox.deliveries
      (event_id, subscription_id, destination_id, tenant_id, seq, key, status, held_at, held_reason, next_attempt_at,
        expires_at, counted_from, lane_seq)
    select e.id, n.subscription_id, n.destination_id, e.tenant_id, e.seq, e.key, n.status, n.held_at, n.held_reason, n.next_attempt_at,
      e.expires_at, nullif(greatest(e.deliver_after, now()), now()), case when n.ordered and e.key is not null then e.seq end
    from unnest(fan_out_events.event_ids) as i (id)
    join outbox.events as e on e.id = i.id
    cross join lateral (select outbox.topic_candidates(e.topic) as topics, e.payload::jsonb as payload offset 0) as once
    cross join lateral outbox.new_deliveries(e.tenant_id, once.topics, once.payload, e.deliver_after) as n
    where not lost_only
    or e.created_at >= (select s.updated_at from outbox.subscriptions as s where s.id = n.subscription_id)
    on conflict do nothing
    returning event_id, subscription_id, destination_id, seq, status, next_attempt_at, lane_seq
  )
  select
    count(*),
    array_agg(c.event_id order by c.destination_id, c.seq) filter (where c.status = 'pending' and c.next_attempt_at is null),
    array_agg(c.subscription_id order by c.destination_id, c.seq) filter (where c.status = 'pending' and c.next_attempt_at is null),
    bool_or(c.lane_seq is not null and c.status = 'pending' and c.next_attempt_at is null)
  into v_created, v_event_ids, v_subscription_ids, v_ordered
  from created as c;
  if v_ordered then
    select * into v_event_ids, v_subscription_ids from outbox.line_up(v_event_ids, v_subscription_ids);
  end if;
  if v_event_ids is not null then
    perform outbox.wake(v_event_ids, v_subscription_ids);
  end if;
  return v_created;
end
$$;
revoke all on function outbox.fan_out_events(uuid[], boolean) from public;
comment on function outbox.fan_out_events(uuid[], boolean) is
  'Fans out events that are already committed; deliveries that exist are left alone. lost_only passes over subscriptions that changed after the event. Returns how many deliveries were made.';

