create or replace function outbox.test_destination(destination_id uuid, actor text default null) returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_mode constant text := current_setting('outbox.fan_out', true);
  v_subscription outbox.subscriptions;
  v_event_id uuid;
begin
  if v_destination.disabled_at is not null then
    raise exception 'destination: is disabled: %', v_destination.disabled_reason
      using errcode = 'PR001', hint = format('Nothing is sent to it. select outbox.enable_destination(%L);', v_destination.id);
  end if;
  select * into v_subscription
  from outbox.subscriptions as s
  where s.destination_id = v_destination.id
  order by s.created_at, s.id
  limit 1;
  if not found then
    raise exception 'destination: has no subscription'
      using errcode = 'PR001', hint = format('select outbox.create_subscription(%L);', v_destination.id);
  end if;

  -- Nobody else is to get it: it is taken off the list of deferred events instead of being fanned out.
  perform set_config('outbox.fan_out', 'deferred', true);
  v_event_id := outbox.insert_own_event(
    'postrider.test', case v_destination.tenant_id when '*' then 'default' else v_destination.tenant_id end,
    json_build_object(
      'test', true, 'text', 'A test event of Postrider: nothing has happened.', 'destination_id', v_destination.id,
      'destination', v_destination.name, 'requested_by', coalesce(test_destination.actor, session_user)),
    null);
  delete from outbox.deferred_events as q where q.event_ids = array[v_event_id];
  perform set_config('outbox.fan_out', coalesce(v_mode, ''), true);

  insert into outbox.deliveries (event_id, subscription_id, destination_id, tenant_id, seq)
  select e.id, v_subscription.id, v_destination.id, e.tenant_id, e.seq from outbox.events as e where e.id = v_event_id;
  perform outbox.wake(array[v_event_id], array[v_subscription.id]);
  perform outbox.audit('test_destination', actor, v_destination.tenant_id, v_destination.id,
    jsonb_build_object('event_id', v_event_id, 'subscription_id', v_subscription.id));
  return v_event_id;
end
$$;
revoke all on function outbox.test_destination(uuid, text) from public;
comment on function outbox.test_destination(uuid, text) is
  'Sends a marked event (topic postrider.test, "test": true) to this destination and to nobody else, whatever its topics and filters, on the way that every event takes; returns its id. Its answer is in outbox.attempts. Refused while the destination is disabled: then nothing is sent.';
