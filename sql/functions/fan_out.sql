-- The first two steps of an event's way, inside the producer's transaction.

create or replace function outbox.new_deliveries(tenant_id text, topics text[], payload jsonb, deliver_after timestamptz)
  returns table (
    subscription_id uuid, destination_id uuid, status outbox.delivery_status, held_at timestamptz, held_reason text,
    next_attempt_at timestamptz, ordered boolean)
  language sql stable
as $$
  select
    s.id, s.destination_id,
    case when d.held_reason is null then 'pending' else 'held' end::outbox.delivery_status,
    case when d.held_reason is not null then now() end,
    d.held_reason,
    case when new_deliveries.deliver_after > now() then new_deliveries.deliver_after end,
    s.ordered
  from outbox.subscriptions as s
  cross join lateral (
    select
      t.deleted_at,
      case
        when new_deliveries.deliver_after > now() then null
        when t.disabled_at is not null then 'destination_disabled'
        else k.reason
      end as held_reason
    from outbox.destinations as t
    left join outbox.holds as k on k.destination_id = t.id
    where t.id = s.destination_id
    offset 0
  ) as d
  where s.tenant_id in (new_deliveries.tenant_id, '*')
  and s.enabled
  and s.topics && new_deliveries.topics
  and d.deleted_at is null
  and outbox.filter_matches(new_deliveries.payload, s.filter_path)
$$;
revoke all on function outbox.new_deliveries(text, text[], jsonb, timestamptz) from public;
comment on function outbox.new_deliveries(text, text[], jsonb, timestamptz) is
  'The deliveries that an event of this tenant, topics (outbox.topic_candidates), payload and time gives rise to: one for each subscription that wants it, held where its destination holds back; what is for later is held when its time comes. Inlined into the statements that fan out.';

create or replace function outbox.tg_events__fan_out() returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_limit constant integer := least(
    coalesce(nullif(current_setting('outbox.payload_bytes_max', true), '')::integer, 262144), 1048576);
  v_mode constant text := coalesce(nullif(current_setting('outbox.fan_out', true), ''), 'immediate');
  v_event_ids uuid[];
  v_subscription_ids uuid[];
  v_ordered boolean;
begin
  if exists (select from new_events as e where octet_length(e.payload::text) > v_limit) then
    raise exception 'events.payload: is longer than % bytes', v_limit
      using errcode = 'PR001', hint = 'Store the large part elsewhere and send a reference, or raise outbox.payload_bytes_max (up to 1048576).';
  end if;

  if v_mode = 'deferred' then
    insert into outbox.deferred_events (event_ids)
    select array_agg(e.id order by e.seq)
    from (select n.id, n.seq, (row_number() over () - 1) / 1000 as chunk from new_events as n) as e
    group by e.chunk;
    return null;
  elsif v_mode <> 'immediate' then
    raise exception 'outbox.fan_out: must be immediate or deferred, not "%"', v_mode
      using errcode = 'PR001', hint = 'set local outbox.fan_out = ''deferred''; or reset outbox.fan_out;';
  end if;

  with created as (
    insert into outbox.deliveries
      (event_id, subscription_id, destination_id, tenant_id, seq, key, status, held_at, held_reason, next_attempt_at,
        expires_at, counted_from, lane_seq)
    select e.id, n.subscription_id, n.destination_id, e.tenant_id, e.seq, e.key, n.status, n.held_at, n.held_reason, n.next_attempt_at,
      e.expires_at, nullif(greatest(e.deliver_after, now()), now()), case when n.ordered and e.key is not null then e.seq end
    from new_events as e
    cross join lateral (select outbox.topic_candidates(e.topic) as topics, e.payload::jsonb as payload offset 0) as once
    cross join lateral outbox.new_deliveries(e.tenant_id, once.topics, once.payload, e.deliver_after) as n
    returning event_id, subscription_id, destination_id, seq, status, next_attempt_at, lane_seq
  )
  select
    array_agg(c.event_id order by c.destination_id, c.seq), array_agg(c.subscription_id order by c.destination_id, c.seq),
    bool_or(c.lane_seq is not null)
  into v_event_ids, v_subscription_ids, v_ordered
  from created as c
  where c.status = 'pending'
  and c.next_attempt_at is null;

  if v_ordered then
    select * into v_event_ids, v_subscription_ids from outbox.line_up(v_event_ids, v_subscription_ids);
  end if;
  if v_event_ids is not null then
    perform outbox.wake(v_event_ids, v_subscription_ids);
  end if;
  return null;
end
$$;
revoke all on function outbox.tg_events__fan_out() from public;
comment on function outbox.tg_events__fan_out() is
  'Fan-out: writes the deliveries of a statement''s new events and wakes the workers, in the producer''s transaction. With outbox.fan_out = deferred it only notes the events.';

create or replace trigger _500_fan_out
  after insert on outbox.events
  referencing new table as new_events
  for each statement execute function outbox.tg_events__fan_out();
comment on trigger _500_fan_out on outbox.events is 'Events become deliveries and jobs, once for each statement, however many rows it has.';
