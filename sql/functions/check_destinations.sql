-- Ad-hoc inserts and updates are validated like the functions: the rules stand in triggers.

create or replace function outbox.tg_destinations__check() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema jsonb;
begin
  select t.config_schema into v_schema from outbox.destination_types as t where t.name = NEW.type;
  if not found then
    raise exception 'type: there is no destination type "%"', NEW.type
      using errcode = 'PR001',
        hint = 'Known types: ' || (select string_agg(t.name, ', ' order by t.name) from outbox.destination_types as t) || '.';
  end if;
  if NEW.tenant_id is null or NEW.tenant_id <> '*' and NEW.tenant_id !~ '\A[^[:cntrl:][:space:]*]{1,128}\Z' then
    perform outbox.refuse_input('tenant_id', 'must be 1 to 128 characters without spaces', 'Use * for a destination of all tenants.');
  end if;
  if NEW.name is null or char_length(NEW.name) not between 1 and 128 and NEW.deleted_at is null then
    perform outbox.refuse_input('name', 'must be 1 to 128 characters', 'Leave it out to get one made up.');
  end if;
  perform outbox.check_json(NEW.config, v_schema, 'config');
  perform outbox.check_policy(NEW.policy);
  if TG_OP = 'UPDATE' then
    if (NEW.id, NEW.tenant_id, NEW.type) is distinct from (OLD.id, OLD.tenant_id, OLD.type) then
      raise exception 'destinations: id, tenant_id and type cannot change'
        using errcode = 'PR001', hint = 'Create another destination.';
    end if;
    if (NEW.config, NEW.policy, NEW.disabled_at, NEW.deleted_at) is distinct from (OLD.config, OLD.policy, OLD.disabled_at, OLD.deleted_at) then
      NEW.version := greatest(NEW.version, OLD.version + 1);
      NEW.updated_at := now();
    end if;
  end if;
  return NEW;
end
$$;
revoke all on function outbox.tg_destinations__check() from public;
comment on function outbox.tg_destinations__check() is
  'Refuses a destination of an unknown type, with a config its type does not take or a bad policy; counts versions.';

create or replace trigger _100_check
  before insert or update on outbox.destinations
  for each row execute function outbox.tg_destinations__check();
comment on trigger _100_check on outbox.destinations is 'Validates and counts versions.';

create or replace function outbox.tg_destinations__refuse_delete() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'destinations: rows are not deleted, their history would lose its name'
    using errcode = 'PR001', hint = format('select outbox.delete_destination(%L);', OLD.id);
end
$$;
revoke all on function outbox.tg_destinations__refuse_delete() from public;
comment on function outbox.tg_destinations__refuse_delete() is 'Points to outbox.delete_destination, which cancels what is waiting.';

create or replace trigger _200_refuse_delete
  before delete on outbox.destinations
  for each row execute function outbox.tg_destinations__refuse_delete();
comment on trigger _200_refuse_delete on outbox.destinations is 'Deleting is a function.';

create or replace function outbox.tg_destination_secrets__check() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_property jsonb;
  v_type text;
begin
  select t.secrets_schema -> 'properties' -> NEW.name, t.name
  into v_property, v_type
  from outbox.destinations as d
  join outbox.destination_types as t on t.name = d.type
  where d.id = NEW.destination_id;
  if v_property is null then
    raise exception 'secrets.%: is not a secret of destination type %', NEW.name, v_type
      using errcode = 'PR001', hint = format('select secrets_schema from outbox.destination_types where name = %L;', v_type);
  end if;
  if NEW.value is not null then
    perform outbox.check_json(to_jsonb(NEW.value), v_property, 'secrets.' || NEW.name);
  end if;
  if TG_OP = 'INSERT' or NEW.valid_until is distinct from OLD.valid_until
    or NEW.value is not null and NEW.value is distinct from OLD.value then
    update outbox.destinations as d set version = d.version + 1, updated_at = now() where d.id = NEW.destination_id;
  end if;
  return NEW;
end
$$;
revoke all on function outbox.tg_destination_secrets__check() from public;
comment on function outbox.tg_destination_secrets__check() is
  'Refuses a secret that the destination type does not know or that has the wrong shape, and counts the destination''s version up so that workers seal and use it.';

create or replace trigger _100_check
  before insert or update on outbox.destination_secrets
  for each row execute function outbox.tg_destination_secrets__check();
comment on trigger _100_check on outbox.destination_secrets is 'Validates, and makes workers look.';

create or replace function outbox.tg_subscriptions__check() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  NEW.topics := outbox.check_topics(NEW.topics);
  NEW.filter_path := outbox.compile_filter(NEW.filter);
  NEW.tenant_id := coalesce(NEW.tenant_id, (outbox.get_destination(NEW.destination_id)).tenant_id);
  NEW.has_lanes := NEW.has_lanes or NEW.ordered;
  if NEW.on_dead is null or NEW.on_dead not in ('block', 'skip', 'park') then
    perform outbox.refuse_input('on_dead', format('must be block, skip or park, not "%s"', NEW.on_dead),
      'block waits until somebody redrives or cancels the dead delivery, skip goes on, park waits and is no backlog.');
  end if;
  if TG_OP = 'UPDATE' then
    NEW.updated_at := now();
  end if;
  return NEW;
end
$$;
revoke all on function outbox.tg_subscriptions__check() from public;
comment on function outbox.tg_subscriptions__check() is 'Refuses bad topics and filters; compiles the filter; fills in the tenant of the destination.';

create or replace trigger _100_check
  before insert or update on outbox.subscriptions
  for each row execute function outbox.tg_subscriptions__check();
comment on trigger _100_check on outbox.subscriptions is 'Validates and compiles.';

create or replace function outbox.tg_refuse_change() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '%: is append-only', TG_TABLE_NAME using errcode = 'PR001', hint = 'Insert a new row instead.';
end
$$;
revoke all on function outbox.tg_refuse_change() from public;
comment on function outbox.tg_refuse_change() is 'Keeps append-only tables append-only, for their owner too.';

create or replace trigger _100_refuse_change
  before update or truncate on outbox.audit_log
  for each statement execute function outbox.tg_refuse_change();
comment on trigger _100_refuse_change on outbox.audit_log is 'What was done stays done.';

create or replace trigger _200_refuse_update
  before update on outbox.events
  for each statement execute function outbox.tg_refuse_change();
comment on trigger _200_refuse_update on outbox.events is 'Events are facts.';
