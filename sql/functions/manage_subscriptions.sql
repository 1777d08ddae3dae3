create or replace function outbox.create_subscription(
  destination_id uuid, topics text[] default '{*}', filter jsonb default null, actor text default null,
  start text default 'now', ordered boolean default false, on_dead text default 'block') returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_id constant uuid := outbox.uuid_v7();
begin
  insert into outbox.subscriptions (id, destination_id, tenant_id, topics, filter, ordered, on_dead)
  values (
    v_id, v_destination.id, v_destination.tenant_id, create_subscription.topics, create_subscription.filter,
    create_subscription.ordered, create_subscription.on_dead);
  perform outbox.audit('create_subscription', actor, v_destination.tenant_id, v_destination.id,
    jsonb_build_object('subscription_id', v_id, 'topics', create_subscription.topics, 'filter', create_subscription.filter is not null,
      'ordered', create_subscription.ordered,
      'replay_id', outbox.deliver_history(v_id, create_subscription.start, create_subscription.actor)));
  return v_id;
end
$$;
revoke all on function outbox.create_subscription(uuid, text[], jsonb, text, text, boolean, text) from public;
comment on function outbox.create_subscription(uuid, text[], jsonb, text, text, boolean, text) is
  'Adds a subscription to a destination and returns its id. start is now: events from now on; or beginning, or a time: events of the past are delivered too, oldest first, at up to 1,000 a second, and none is missed or doubled between them and the live ones (outbox.replay_progress). ordered delivers those of one key one after another, on_dead says what then becomes of those behind a dead one.';

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
  actor text default null, ordered boolean default null, on_dead text default null) returns void
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
    enabled = coalesce(update_subscription.enabled, s.enabled),
    ordered = coalesce(update_subscription.ordered, s.ordered),
    on_dead = coalesce(update_subscription.on_dead, s.on_dead)
  where s.id = v_subscription.id;
  perform outbox.audit('update_subscription', actor, v_subscription.tenant_id, v_subscription.destination_id, jsonb_build_object(
    'subscription_id', v_subscription.id, 'topics', update_subscription.topics, 'filter', update_subscription.filter is not null,
    'enabled', update_subscription.enabled, 'ordered', update_subscription.ordered, 'on_dead', update_subscription.on_dead));
end
$$;
revoke all on function outbox.update_subscription(uuid, text[], jsonb, boolean, text, boolean, text) from public;
comment on function outbox.update_subscription(uuid, text[], jsonb, boolean, text, boolean, text) is
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
