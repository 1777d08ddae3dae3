create or replace function outbox.check_json(value jsonb, schema jsonb, field text)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem text[];
begin
  if value is null then
    perform outbox.refuse_input(field, 'is required');
  end if;
  v_problem := outbox.json_problem(value, schema, field);
  if v_problem is not null then
    perform outbox.refuse_input(v_problem[1], v_problem[2], v_problem[3]);
  end if;
end
$$;

comment on function outbox.check_json(jsonb, jsonb, text) is
  'Refuses a value that does not fit a JSON Schema with PR001: the place, what it must be, and a hint; never the value, which may be secret.';

revoke all on function outbox.check_json(jsonb, jsonb, text) from public;
