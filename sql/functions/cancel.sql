create or replace function outbox.cancel_waiting(destination_id uuid, subscription_id uuid, reason text) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_cancelled integer;
begin
  update outbox.deliveries as d
  set status = 'cancelled', error_code = reason, finished_at = now(), next_attempt_at = null, job_at = null,
    claimed_by = null, held_at = null, held_reason = null, lane_seq = null
  from (
    select p.event_id, p.subscription_id from outbox.pending_deliveries() as p where p.destination_id = cancel_waiting.destination_id
    union all
    select h.event_id, h.subscription_id from outbox.deliveries as h
    where h.held_at is not null and h.destination_id = cancel_waiting.destination_id
  ) as w
  where d.event_id = w.event_id
  and d.subscription_id = w.subscription_id
  and (cancel_waiting.subscription_id is null or d.subscription_id = cancel_waiting.subscription_id)
  and d.status in ('pending', 'held');
  get diagnostics v_cancelled = row_count;
  return v_cancelled;
end
$$;
revoke all on function outbox.cancel_waiting(uuid, uuid, text) from public;
comment on function outbox.cancel_waiting(uuid, uuid, text) is
  'Cancels what is pending or held for a destination, or for one of its subscriptions; returns how many. An attempt in flight ends without effect.';

create or replace function outbox.fan_out_deferred_among(event_ids uuid[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_deferred constant uuid[] := array(
    select i.id
    from outbox.deferred_events as q
    cross join lateral unnest(q.event_ids) as i (id)
    where q.event_ids && fan_out_deferred_among.event_ids
    and i.id = any (fan_out_deferred_among.event_ids)
  );
begin
  if cardinality(v_deferred) > 0 then
    perform outbox.fan_out_events(v_deferred);
  end if;
end
$$;
revoke all on function outbox.fan_out_deferred_among(uuid[]) from public;
comment on function outbox.fan_out_deferred_among(uuid[]) is
  'Fans out now those of the events that a worker would fan out a moment later: deliveries must be there to be cancelled.';

create or replace function outbox.cancel(event_id uuid, subscription_id uuid default null, actor text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription_ids uuid[];
  v_cancelled integer;
begin
  perform outbox.fan_out_deferred_among(array[event_id]);
  with cancelled as (
    update outbox.deliveries as d
    set status = 'cancelled', error_code = 'cancelled', finished_at = now(), next_attempt_at = null, job_at = null,
      claimed_by = null, held_at = null, held_reason = null, dead_at = null
    where d.event_id = cancel.event_id
    and (cancel.subscription_id is null or d.subscription_id = cancel.subscription_id)
    and (d.status in ('pending', 'held') or d.status = 'dead' and d.lane_seq is not null)
    returning d.subscription_id
  )
  select array_agg(c.subscription_id), count(*) into v_subscription_ids, v_cancelled from cancelled as c;
  perform outbox.leave_lanes(array_fill(cancel.event_id, array[v_cancelled]), v_subscription_ids);
  perform outbox.audit('cancel', actor, (select e.tenant_id from outbox.events as e where e.id = cancel.event_id), detail => jsonb_build_object(
    'event_id', event_id, 'subscription_id', subscription_id, 'cancelled', v_cancelled));
  return v_cancelled;
end
$$;
revoke all on function outbox.cancel(uuid, uuid, text) from public;
comment on function outbox.cancel(uuid, uuid, text) is
  'Cancels the deliveries of an event (or the one to one subscription) that are pending or held, or that are dead and keep others of their lane waiting; returns how many. What is in flight may still arrive.';
