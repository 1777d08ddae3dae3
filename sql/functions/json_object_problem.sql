-- An unknown field is reported before a missing one: url written as urll is both, and the first says more.
create or replace function outbox.json_object_problem(value jsonb, schema jsonb, place text)
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known   jsonb := coalesce(schema -> 'properties', '{}');
  v_rest    jsonb := schema -> 'additionalProperties';
  v_missing text;
  v_field   record;
  v_problem text[];
begin
  for v_field in select entry.key, entry.value, place || '.' || entry.key as place from jsonb_each(value) as entry loop
    if v_rest = 'false' and not v_known ? v_field.key then
      return array[v_field.place, 'is not a known field', 'Known fields: ' || (
        select string_agg(known.name, ', ' order by known.name) from jsonb_object_keys(v_known) as known (name)
      )];
    end if;
    v_problem := outbox.json_problem(to_jsonb(v_field.key), coalesce(schema -> 'propertyNames', '{}'), v_field.place);
    if v_problem is not null then
      return array[v_problem[1], 'its name ' || v_problem[2], v_problem[3]];
    end if;
  end loop;
  select required.name into v_missing
  from jsonb_array_elements_text(schema -> 'required') as required (name)
  where not value ? required.name
  limit 1;
  if found then
    return array[place || '.' || v_missing, 'is required', null];
  end if;
  for v_field in select entry.key, entry.value, place || '.' || entry.key as place from jsonb_each(value) as entry loop
    v_problem := outbox.json_problem(v_field.value, coalesce(v_known -> v_field.key, v_rest, '{}'), v_field.place);
    if v_problem is not null then
      return v_problem;
    end if;
  end loop;
  return null;
end
$$;

comment on function outbox.json_object_problem(jsonb, jsonb, text) is
  'Finds the first problem of an object: unknown fields, names, missing fields, then the values.';

revoke all on function outbox.json_object_problem(jsonb, jsonb, text) from public;
