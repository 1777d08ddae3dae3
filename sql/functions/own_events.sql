-- Events of Postrider itself, postrider.*: alerts and tests. Only the engine makes them.

create or replace function outbox.insert_own_event(topic text, tenant_id text, payload json, key text default null) returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id constant uuid := outbox.uuid_v7();
begin
  perform set_config('outbox.own_event', 'on', true);
  insert into outbox.events (id, topic, tenant_id, payload, key)
  values (v_id, topic, case tenant_id when '*' then 'default' else tenant_id end, payload, key);
  perform set_config('outbox.own_event', '', true);
  return v_id;
end
$$;
revoke all on function outbox.insert_own_event(text, text, json, text) from public;
comment on function outbox.insert_own_event(text, text, json, text) is
  'Inserts an event of a topic postrider.* and returns its id. What concerns all tenants (*) belongs to the tenant default. For definer functions of the engine; nobody is granted it.';

create or replace function outbox.tg_events__reserve_topics() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('outbox.own_event', true) is distinct from 'on'
    or not pg_has_role(current_user, (select c.relowner from pg_class as c where c.oid = 'outbox.events'::regclass), 'member') then
    raise exception 'topic: "%" is reserved, what begins with postrider. comes from Postrider itself', NEW.topic
      using errcode = 'PR001', hint = 'Choose another first word for your topics.';
  end if;
  return NEW;
end
$$;
revoke all on function outbox.tg_events__reserve_topics() from public;
comment on function outbox.tg_events__reserve_topics() is
  'Refuses events of the topics postrider.* unless outbox.insert_own_event inserts them. It runs with the rights of who inserts: a producer who sets outbox.own_event is still not the owner of the table.';

create or replace trigger _050_reserve_topics
  before insert on outbox.events
  for each row when (starts_with(NEW.topic, 'postrider.'))
  execute function outbox.tg_events__reserve_topics();
comment on trigger _050_reserve_topics on outbox.events is 'An alert that a receiver sees is one that Postrider made.';
