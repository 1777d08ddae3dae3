-- What people do to destinations. Each is one transaction, checks everything before it writes, and is audited.

create or replace function outbox.audit(
  action text, actor text, tenant_id text default null, destination_id uuid default null, detail jsonb default '{}') returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  insert into outbox.audit_log (action, actor, tenant_id, destination_id, detail)
  values (action, coalesce(actor, session_user), tenant_id, destination_id, jsonb_strip_nulls(detail))
$$;
revoke all on function outbox.audit(text, text, text, uuid, jsonb) from public;
comment on function outbox.audit(text, text, text, uuid, jsonb) is 'Notes who did what. Never a secret, never a payload.';

create or replace function outbox.get_destination(destination_id uuid) returns outbox.destinations
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination outbox.destinations;
begin
  select * into v_destination from outbox.destinations as d where d.id = get_destination.destination_id and d.deleted_at is null for no key update;
  if not found then
    raise exception 'destination: there is none with id %', coalesce(destination_id::text, 'null')
      using errcode = 'PR002', hint = 'select id, tenant_id, name from outbox.destinations where deleted_at is null;';
  end if;
  return v_destination;
end
$$;
revoke all on function outbox.get_destination(uuid) from public;
comment on function outbox.get_destination(uuid) is 'The destination, locked against other changes; an error if there is none or it was deleted.';

create or replace function outbox.create_destination(
  type text, config jsonb, secrets jsonb default '{}', topics text[] default '{*}', filter jsonb default null,
  tenant_id text default 'default', name text default null, policy jsonb default '{}', actor text default null,
  start text default 'now', ordered boolean default false, on_dead text default 'block') returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_id constant uuid := outbox.uuid_v7();
  v_subscription_id constant uuid := outbox.uuid_v7();
  v_secrets jsonb;
begin
  perform outbox.check_policy(create_destination.policy);
  perform outbox.check_topics(create_destination.topics);
  perform outbox.compile_filter(create_destination.filter);
  insert into outbox.destinations (id, tenant_id, name, type, config, policy)
  values (
    v_id, create_destination.tenant_id, coalesce(create_destination.name, create_destination.type || ' ' || v_id),
    create_destination.type, create_destination.config, create_destination.policy);
  v_secrets := outbox.complete_secrets(create_destination.type, coalesce(create_destination.secrets, '{}'));
  insert into outbox.destination_secrets (destination_id, name, version, value)
  select v_id, s.key, 1, s.value from jsonb_each_text(v_secrets) as s;
  insert into outbox.subscriptions (id, destination_id, tenant_id, topics, filter, ordered, on_dead)
  values (
    v_subscription_id, v_id, create_destination.tenant_id, create_destination.topics, create_destination.filter,
    create_destination.ordered, create_destination.on_dead);
  perform outbox.audit('create_destination', actor, create_destination.tenant_id, v_id, jsonb_build_object(
    'type', create_destination.type, 'name', create_destination.name, 'topics', create_destination.topics,
    'replay_id', outbox.deliver_history(v_subscription_id, create_destination.start, create_destination.actor)));
  return v_id;
exception
  when unique_violation then
    raise exception 'name: tenant "%" has a destination "%" already', create_destination.tenant_id, create_destination.name
      using errcode = 'PR003', hint = 'Choose another name, or change the one there: select outbox.update_destination(...);';
end
$$;
revoke all on function outbox.create_destination(text, jsonb, jsonb, text[], jsonb, text, text, jsonb, text, text, boolean, text) from public;
comment on function outbox.create_destination(text, jsonb, jsonb, text[], jsonb, text, text, jsonb, text, text, boolean, text) is
  'Makes a destination with its secrets and one subscription, and returns its id. Secrets that the type can make up (a signing secret) are made up when not given. start is now, or beginning, or a time: events that are older than the subscription are then delivered too. ordered and on_dead are those of outbox.create_subscription.';

create or replace function outbox.complete_secrets(type text, secrets jsonb) returns jsonb
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema constant jsonb := (select t.secrets_schema from outbox.destination_types as t where t.name = type);
  v_complete jsonb := secrets;
  v_name text;
begin
  for v_name in
    select p.key from jsonb_each(v_schema -> 'properties') as p where p.value ->> 'generate' = 'whsec' and not secrets ? p.key
  loop
    v_complete := v_complete || jsonb_build_object(v_name, outbox.generate_secret());
  end loop;
  perform outbox.check_json(v_complete, v_schema, 'secrets');
  return v_complete;
end
$$;
revoke all on function outbox.complete_secrets(text, jsonb) from public;
comment on function outbox.complete_secrets(text, jsonb) is
  'The secrets, checked against the destination type, with those that were not given and can be generated.';

create or replace function outbox.generate_secret() returns text
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  select 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64')
$$;
revoke all on function outbox.generate_secret() from public;
comment on function outbox.generate_secret() is
  'A new signing secret in the form of Standard Webhooks: whsec_ and 32 random bytes (from 366 bits of the server''s strong random source), base64.';

create or replace function outbox.update_destination(
  destination_id uuid, config jsonb default null, policy jsonb default null, name text default null, secrets jsonb default null,
  actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_secret record;
begin
  update outbox.destinations as d
  set
    config = coalesce(update_destination.config, d.config),
    policy = coalesce(update_destination.policy, d.policy),
    name = coalesce(update_destination.name, d.name)
  where d.id = v_destination.id;
  if update_destination.secrets is not null and (
    jsonb_typeof(update_destination.secrets) <> 'object'
    or jsonb_path_exists(update_destination.secrets, 'strict $.* ? (@.type() != "string")')) then
    perform outbox.refuse_input('secrets', 'must be an object of strings', '{"signing_secret": "whsec_..."}');
  end if;
  for v_secret in select s.key, s.value from jsonb_each_text(update_destination.secrets) as s loop
    perform outbox.replace_secret(v_destination.id, v_secret.key, v_secret.value, interval '0');
  end loop;
  perform outbox.audit('update_destination', actor, v_destination.tenant_id, v_destination.id, jsonb_build_object(
    'config', update_destination.config is not null, 'policy', update_destination.policy, 'name', update_destination.name,
    'secrets', (select jsonb_agg(k) from jsonb_object_keys(update_destination.secrets) as k)));
exception
  when unique_violation then
    raise exception 'name: tenant "%" has a destination "%" already', v_destination.tenant_id, update_destination.name
      using errcode = 'PR003', hint = 'Choose another name, or change the one there: select outbox.update_destination(...);';
end
$$;
revoke all on function outbox.update_destination(uuid, jsonb, jsonb, text, jsonb, text) from public;
comment on function outbox.update_destination(uuid, jsonb, jsonb, text, jsonb, text) is
  'Replaces what is given (config, policy, name, single secrets) and leaves the rest. The next attempt uses it; if the circuit is open, a probe is sent at once.';

create or replace function outbox.delete_destination(destination_id uuid, actor text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_cancelled integer;
begin
  update outbox.destinations as d set deleted_at = now(), name = left(d.name, 81) || ' (deleted ' || d.id || ')' where d.id = v_destination.id;
  delete from outbox.subscriptions as s where s.destination_id = v_destination.id;
  v_cancelled := outbox.cancel_waiting(v_destination.id, null, 'destination_deleted');
  delete from outbox.destination_secrets as s where s.destination_id = v_destination.id;
  perform outbox.audit('delete_destination', actor, v_destination.tenant_id, v_destination.id,
    jsonb_build_object('name', v_destination.name, 'cancelled', v_cancelled));
  return v_cancelled;
end
$$;
revoke all on function outbox.delete_destination(uuid, text) from public;
comment on function outbox.delete_destination(uuid, text) is
  'Deletes the destination, its subscriptions and secrets, and cancels what waits for it; returns how many deliveries that were. Its row stays, for the history of its attempts.';

create or replace function outbox.disable_destination(destination_id uuid, reason text default 'by hand', actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
begin
  if v_destination.disabled_at is null then
    update outbox.destinations as d set disabled_at = now(), disabled_reason = left(reason, 500) where d.id = v_destination.id;
    perform outbox.audit('disable_destination', actor, v_destination.tenant_id, v_destination.id, jsonb_build_object('reason', left(reason, 500)));
  end if;
end
$$;
revoke all on function outbox.disable_destination(uuid, text, text) from public;
comment on function outbox.disable_destination(uuid, text, text) is
  'Nothing more is sent: new and waiting deliveries are held until the destination is enabled.';

create or replace function outbox.forget_failures(destination_id uuid) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.destination_health as h
  set consecutive_failures = 0, first_failure_at = null, window_ends_at = null
  where h.destination_id = forget_failures.destination_id
  and (h.consecutive_failures > 0 or h.window_ends_at is not null);
  update outbox.holds as k
  set next_probe_at = now(), probe_count = 0
  where k.destination_id = forget_failures.destination_id
  and k.reason = 'circuit_open'
$$;
revoke all on function outbox.forget_failures(uuid) from public;
comment on function outbox.forget_failures(uuid) is
  'Somebody has done something about the destination: its streak of failures starts anew, and an open circuit is probed at once.';

create or replace function outbox.enable_destination(destination_id uuid, actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
begin
  update outbox.destinations as d set disabled_at = null, disabled_reason = null where d.id = v_destination.id;
  perform outbox.forget_failures(v_destination.id);
  if exists (select from outbox.oldest_held(v_destination.id, 1)) then
    perform outbox.start_ramp(v_destination.id);
  end if;
  perform outbox.audit('enable_destination', actor, v_destination.tenant_id, v_destination.id);
end
$$;
revoke all on function outbox.enable_destination(uuid, text) from public;
comment on function outbox.enable_destination(uuid, text) is
  'Sends again. What is held comes back oldest first, in portions that double each second; the run of failures starts anew.';
