create or replace function outbox.json_string_problem(value text, schema jsonb, place text)
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when value = '' and (schema ->> 'minLength')::integer > 0 then
      array[place, 'must not be empty', null]
    when length(value) < (schema ->> 'minLength')::integer then
      array[place, format('must have at least %s characters', schema ->> 'minLength'), null]
    when length(value) > (schema ->> 'maxLength')::integer then
      array[place, format('must have at most %s characters', schema ->> 'maxLength'), null]
    when value collate "C" !~ outbox.portable_pattern(schema ->> 'pattern') then
      array[place, 'does not have the right form', 'It must match ' || (schema ->> 'pattern')]
    when schema ->> 'format' = 'uri' and not schema ? 'pattern' and value !~ '^[A-Za-z][A-Za-z0-9+.-]*:[^[:space:]]+$' then
      array[place, 'must be a URL', 'Write the whole URL, as in https://example.com/path.']
  end;
end
$$;

comment on function outbox.json_string_problem(text, jsonb, text) is
  'Finds the first problem of a string: its length in characters (code points), its pattern, or that it is no URL.';

revoke all on function outbox.json_string_problem(text, jsonb, text) from public;

create or replace function outbox.json_number_problem(value numeric, schema jsonb, place text)
returns text[]
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when value < (schema ->> 'minimum')::numeric then
      array[place, 'must be at least ' || (schema ->> 'minimum'), null]
    when value > (schema ->> 'maximum')::numeric then
      array[place, 'must be at most ' || (schema ->> 'maximum'), null]
    when value <= (schema ->> 'exclusiveMinimum')::numeric then
      array[place, 'must be more than ' || (schema ->> 'exclusiveMinimum'), null]
    when value >= (schema ->> 'exclusiveMaximum')::numeric then
      array[place, 'must be less than ' || (schema ->> 'exclusiveMaximum'), null]
  end
$$;

comment on function outbox.json_number_problem(numeric, jsonb, text) is
  'Finds the bound that a number breaks.';

revoke all on function outbox.json_number_problem(numeric, jsonb, text) from public;
