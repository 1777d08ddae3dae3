-- One condition, at one path, as the text of a jsonpath predicate. A negation travels down to the comparisons (de Morgan)
-- instead of being written where it stands: jsonpath's "unknown" (a type mismatch) would survive a "!" on the outside.
create or replace function outbox.compile_condition(condition jsonb, path text, place text, negated boolean)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(condition) <> 'object' then
    return outbox.compile_operator('$eq', condition, path, place, negated);
  end if;
  if condition = '{}' then
    perform outbox.refuse_input(place, 'is empty', 'Write {"$exists": true} for a field that must be present.');
  end if;
  return (
    select string_agg('(' || part.predicate || ')', case when negated then ' || ' else ' && ' end)
    from jsonb_each(condition) as field (key, value)
    cross join lateral (
      select case
        when field.key like '$%' then
          outbox.compile_operator(field.key, field.value, path, place || '.' || field.key, negated)
        else
          outbox.compile_condition(field.value, path || '.' || to_jsonb(field.key), place || '.' || field.key, negated)
      end
    ) as part (predicate)
  );
end
$$;

comment on function outbox.compile_condition(jsonb, text, text, boolean) is
  'Compiles what stands at one field of a filter: a value to equal, or an object of operators and nested fields that must all hold.';

revoke all on function outbox.compile_condition(jsonb, text, text, boolean) from public;
