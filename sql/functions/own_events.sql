-- Events of the engine itself. Their topics start with postrider.

create or replace function outbox.insert_own_event(topic text, tenant_id text, payload jsonb, key text default null) returns uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  insert into outbox.events (topic, tenant_id, key, payload)
  values (insert_own_event.topic, insert_own_event.tenant_id, insert_own_event.key, insert_own_event.payload::json)
  returning id into v_id;
  return v_id;
end
$$;
revoke all on function outbox.insert_own_event(text, text, jsonb, text) from public;
comment on function outbox.insert_own_event(text, text, jsonb, text) is 'Inserts an event of the engine and returns its id.';
