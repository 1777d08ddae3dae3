create or replace function outbox.create_subscription(
  destination_id uuid, topics text[] default '{*}', filter jsonb default null, actor text default null,
  start text default 'now') returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_id constant uuid := outbox.uuid_v7();
begin
  insert into outbox.subscriptions (id, destination_id, tenant_id, topics, filter)
  values (v_id, v_destination.id, v_destination.tenant_id, create_subscription.topics, create_subscription.filter);
  perform outbox.audit('create_subscription', actor, v_destination.tenant_id, v_destination.id,
    jsonb_build_object('subscription_id', v_id, 'topics', create_subscription.topics, 'filter', create_subscription.filter is not null,
      'replay_id', outbox.deliver_history(v_id, create_subscription.start, create_subscription.actor)));
  return v_id;
end
$$;
revoke all on function outbox.create_subscription(uuid, text[], jsonb, text, text) from public;
comment on function outbox.create_subscription(uuid, text[], jsonb, text, text) is
  'Adds a subscription to a destination and returns its id. start is now: events from now on; or beginning, or a time: events of the past are delivered too, oldest first, at up to 1,000 a second, and none is missed or doubled between them and the live ones (outbox.replay_progress).';

create or replace function outbox.get_subscription(subscription_id uuid) returns outbox.subscriptions
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription outbox.subscriptions;
begin
  select * into v_subscription from outbox.subscriptions as s where s.id = subscription_id for update;
  if not found then
    raise exception 'subscription: there is none with id %', coalesce(subscription_id::text, 'null')
      using errcode = 'PR002', hint = 'select id, destination_id, topics from outbox.subscriptions;';
  end if;
  return v_subscription;
end
$$;
revoke all on function outbox.get_subscription(uuid) from public;
comment on function outbox.get_subscription(uuid) is 'The subscription, locked against other changes; an error if there is none.';

create or replace function outbox.update_subscription(
  subscription_id uuid, topics text[] default null, filter jsonb default null, enabled boolean default null,
  actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_subscription constant outbox.subscriptions := outbox.get_subscription(subscription_id);
begin
  update outbox.subscriptions as s
  set
    topics = coalesce(update_subscription.topics, s.topics),
    filter = coalesce(update_subscription.filter, s.filter),
    enabled = coalesce(update_subscription.enabled, s.enabled)
  where s.id = v_subscription.id;
  perform outbox.audit('update_subscription', actor, v_subscription.tenant_id, v_subscription.destination_id, jsonb_build_object(
    'subscription_id', v_subscription.id, 'topics', update_subscription.topics, 'filter', update_subscription.filter is not null,
    'enabled', update_subscription.enabled));
end
$$;
revoke all on function outbox.update_subscription(uuid, text[], jsonb, boolean, text) from public;
comment on function outbox.update_subscription(uuid, text[], jsonb, boolean, text) is
  'Replaces what is given. A filter of {} removes the filter. Deliveries that exist stay as they are.';

create or replace function outbox.delete_subscription(subscription_id uuid, actor text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription constant outbox.subscriptions := outbox.get_subscription(subscription_id);
  v_cancelled integer;
begin
  delete from outbox.subscriptions as s where s.id = v_subscription.id;
  v_cancelled := outbox.cancel_waiting(v_subscription.destination_id, v_subscription.id, 'subscription_deleted');
  perform outbox.audit('delete_subscription', actor, v_subscription.tenant_id, v_subscription.destination_id,
    jsonb_build_object('subscription_id', v_subscription.id, 'cancelled', v_cancelled));
  return v_cancelled;
end
$$;
revoke all on function outbox.delete_subscription(uuid, text) from public;
comment on function outbox.delete_subscription(uuid, text) is
  'Deletes the subscription and cancels what waits for it; returns how many deliveries that were.';
