create or replace function outbox.compile_operator(operator text, operand jsonb, path text, place text, negated boolean)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.check_operand(operator, operand, path, place);
  case operator
    when '$not' then
      return outbox.compile_condition(operand, path, place, not negated);
    when '$ne' then
      return outbox.compile_comparison('$eq', operand, path, not negated);
    when '$nin' then
      return outbox.compile_operator('$in', operand, path, place, not negated);
    when '$exists' then
      return case when operand::boolean = negated then '!' else '' end || format('exists(%s)', path);
    when '$and', '$or', '$in' then
      return (
        select string_agg(
          '(' || case
            when operator = '$in' then outbox.compile_comparison('$eq', entry.value, path, negated)
            else outbox.compile_condition(entry.value, path, format('%s[%s]', place, entry.number - 1), negated)
          end || ')',
          case when (operator = '$and') = negated then ' || ' else ' && ' end
        )
        from jsonb_array_elements(operand) with ordinality as entry (value, number)
      );
    else
      return outbox.compile_comparison(operator, operand, path, negated);
  end case;
end
$$;

comment on function outbox.compile_operator(text, jsonb, text, text, boolean) is
  'Compiles one operator of a filter at one path, or its exact negation, to the text of a jsonpath predicate.';

revoke all on function outbox.compile_operator(text, jsonb, text, text, boolean) from public;
