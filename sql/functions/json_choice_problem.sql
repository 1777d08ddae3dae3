create or replace function outbox.json_choice_problem(value jsonb, choices jsonb, exclusive boolean, place text)
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fitting integer;
  v_problem text[];
begin
  select count(*)
  into v_fitting
  from jsonb_array_elements(choices) as choice (schema)
  where outbox.json_problem(value, choice.schema, place) is null;
  if v_fitting = 1 or (v_fitting > 1 and not exclusive) then
    return null;
  elsif v_fitting > 1 then
    return array[place, 'fits more than one of the allowed forms', null];
  end if;
  select outbox.json_problem(value, min(choice.schema::text)::jsonb, place)
  into v_problem
  from jsonb_array_elements(choices) as choice (schema)
  where outbox.json_means_choice(value, choice.schema)
  having count(*) = 1;
  return coalesce(v_problem, array[place, 'has none of the allowed forms', (
    select format('%s must be one of %s', tag.key, string_agg(distinct tag.schema ->> 'const', ', '))
    from jsonb_array_elements(choices) as choice (schema)
    cross join jsonb_each(choice.schema -> 'properties') as tag (key, schema)
    where tag.schema ? 'const'
    group by tag.key
    order by tag.key
    limit 1
  )]);
end
$$;

comment on function outbox.json_choice_problem(jsonb, jsonb, boolean, text) is
  'Finds out why a value fits no form of an anyOf or oneOf: the problem of the form it is meant to have, where that is clear.';

revoke all on function outbox.json_choice_problem(jsonb, jsonb, boolean, text) from public;

create or replace function outbox.json_means_choice(value jsonb, choice jsonb)
returns boolean
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  return outbox.json_fits_type(value, choice -> 'type') and not exists (
    select
    from jsonb_each(choice -> 'properties') as tag (key, schema)
    where tag.schema ? 'const'
    and value -> tag.key is distinct from tag.schema -> 'const'
  );
end
$$;

comment on function outbox.json_means_choice(jsonb, jsonb) is
  'Says whether a value has the type and the tags (const properties) of one form of an anyOf or oneOf, though it may not fit it.';

revoke all on function outbox.json_means_choice(jsonb, jsonb) from public;
