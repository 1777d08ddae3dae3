create or replace function outbox.json_array_problem(value jsonb, schema jsonb, place text)
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  if value = '[]' and (schema ->> 'minItems')::integer > 0 then
    return array[place, 'must not be empty', null];
  elsif jsonb_array_length(value) < (schema ->> 'minItems')::integer then
    return array[place, format('must have at least %s entries', schema ->> 'minItems'), null];
  elsif jsonb_array_length(value) > (schema ->> 'maxItems')::integer then
    return array[place, format('must have at most %s entries', schema ->> 'maxItems'), null];
  end if;
  return (
    select found.problem
    from jsonb_array_elements(value) with ordinality as entry (item, number)
    cross join lateral (
      select outbox.json_problem(entry.item, coalesce(schema -> 'items', '{}'), format('%s[%s]', place, entry.number - 1))
    ) as found (problem)
    where found.problem is not null
    order by entry.number
    limit 1
  );
end
$$;

comment on function outbox.json_array_problem(jsonb, jsonb, text) is
  'Finds the first problem of an array: its length, then its entries, counted from 0.';

revoke all on function outbox.json_array_problem(jsonb, jsonb, text) from public;
