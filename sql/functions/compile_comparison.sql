-- jsonpath's lax mode does the arrays: a path steps into the elements, and a comparison holds if it holds for any of them.
-- Keys and values enter as JSON strings and numbers, which are literals of jsonpath too: nothing can break out of them.
create or replace function outbox.compile_comparison(operator text, operand jsonb, path text, negated boolean)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_value     text := operand::text;
  v_escaped   text := regexp_replace(operand #>> '{}', '([][\\^$.|?*+(){}])', '\\\1', 'g');
  v_predicate text;
begin
  v_predicate := path || case
    when operator = '$gt'         then ' > ' || v_value
    when operator = '$gte'        then ' >= ' || v_value
    when operator = '$lt'         then ' < ' || v_value
    when operator = '$lte'        then ' <= ' || v_value
    when operator = '$startsWith' then ' starts with ' || v_value
    when operator = '$endsWith'   then ' like_regex ' || to_jsonb(v_escaped || '$')::text
    when operator = '$regex'      then ' like_regex ' || v_value
    when operator = '$contains' and jsonb_typeof(operand) = 'string' then ' like_regex ' || to_jsonb(v_escaped)::text
    else ' == ' || v_value
  end;
  return case
    when negated then format('!(%1$s) || (%1$s) is unknown', v_predicate)
    else v_predicate
  end;
end
$$;

comment on function outbox.compile_comparison(text, jsonb, text, boolean) is
  'Writes one comparison as a jsonpath predicate; its negation also holds where the comparison is unknown, as between a number and a string.';

revoke all on function outbox.compile_comparison(text, jsonb, text, boolean) from public;
