create or replace function outbox.json_problem(value jsonb, schema jsonb, place text)
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  if not outbox.json_fits_type(value, schema -> 'type') then
    return array[place, 'must be ' || outbox.json_type_words(schema -> 'type'), null];
  elsif schema ? 'const' and value <> schema -> 'const' then
    return array[place, 'must be ' || coalesce(schema ->> 'const', 'null'), null];
  elsif not schema -> 'enum' @> jsonb_build_array(value) then
    return array[place, 'must be one of ' || (
      select string_agg(coalesce(allowed.name, 'null'), ', ')
      from jsonb_array_elements_text(schema -> 'enum') as allowed (name)
    ), null];
  elsif schema ? 'anyOf' or schema ? 'oneOf' then
    return outbox.json_choice_problem(value, coalesce(schema -> 'anyOf', schema -> 'oneOf'), schema ? 'oneOf', place);
  end if;
  return case jsonb_typeof(value)
    when 'string' then outbox.json_string_problem(value #>> '{}', schema, place)
    when 'number' then outbox.json_number_problem(value::numeric, schema, place)
    when 'array'  then outbox.json_array_problem(value, schema, place)
    when 'object' then outbox.json_object_problem(value, schema, place)
  end;
end
$$;

comment on function outbox.json_problem(jsonb, jsonb, text) is
  'Finds the first thing that keeps a value from fitting a JSON Schema, as {place, problem, remedy}; null when it fits.';

revoke all on function outbox.json_problem(jsonb, jsonb, text) from public;

create or replace function outbox.json_fits_type(value jsonb, type jsonb)
returns boolean
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select type is null
    or type @> to_jsonb(jsonb_typeof(value))
    or (type @> '"integer"' and jsonb_typeof(value) = 'number' and trunc(value::numeric) = value::numeric)
$$;

comment on function outbox.json_fits_type(jsonb, jsonb) is
  'Says whether a value has the type, or one of the types, that a JSON Schema names; 1.0 is an integer.';

revoke all on function outbox.json_fits_type(jsonb, jsonb) from public;

create or replace function outbox.json_type_words(type jsonb)
returns text
language sql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select string_agg('{
    "string": "a string", "number": "a number", "integer": "an integer", "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null"
  }'::jsonb ->> name.value, ' or ')
  from jsonb_array_elements_text(case jsonb_typeof(type) when 'array' then type else jsonb_build_array(type) end) as name (value)
$$;

comment on function outbox.json_type_words(jsonb) is
  'Names the types of a JSON Schema in words: "a string or null".';

revoke all on function outbox.json_type_words(jsonb) from public;
