create or replace function outbox.check_operand(operator text, operand jsonb, path text, place text)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_fragment_max constant integer := 200;
  v_type         text := jsonb_typeof(operand);
begin
  if operator in ('$and', '$or', '$not') then
    perform outbox.check_combination(operator, operand, place);
    return;
  end if;
  if operator = '$jsonpath' then
    perform outbox.refuse_input(place, 'stands only at the top level', 'Write {"$jsonpath": "..."} as the whole filter.');
  elsif operator not in (
    '$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists', '$contains', '$startsWith', '$endsWith', '$regex'
  ) then
    perform outbox.refuse_input(place, 'unknown operator',
      'Known are $eq $ne $gt $gte $lt $lte $in $nin $exists $contains $startsWith $endsWith $regex $and $or $not. '
      'Use $jsonpath for a field whose name begins with $.');
  elsif path = '$' then
    perform outbox.refuse_input(place, 'needs a field', format('Write {"field": {"%s": ...}}.', operator));
  elsif operator in ('$in', '$nin') then
    if v_type <> 'array' or operand = '[]'
      or jsonb_path_exists(operand, 'strict $[*] ? (@.type() == "array" || @.type() == "object")')
    then
      perform outbox.refuse_input(place, 'must be a list of strings, numbers, true, false or null',
        format('Write {"%s": ["a", "b"]}.', operator));
    end if;
  elsif operator = '$exists' and v_type <> 'boolean' then
    perform outbox.refuse_input(place, 'must be true or false', 'Write {"$exists": true} or {"$exists": false}.');
  elsif v_type = 'array' then
    perform outbox.refuse_input(place, 'a list is not a value to compare with', format('Write {"$in": %s} for any one of them.', operand));
  elsif v_type = 'object' then
    perform outbox.refuse_input(place, 'an object is not a value to compare with', 'Write its fields as nested conditions.');
  elsif operator in ('$gt', '$gte', '$lt', '$lte') and v_type not in ('number', 'string') then
    perform outbox.refuse_input(place, 'must be a number or a string', 'Only numbers and strings have an order.');
  elsif operator in ('$startsWith', '$endsWith', '$regex') and v_type <> 'string' then
    perform outbox.refuse_input(place, 'must be a string', 'A number is compared with $eq, $gt, $gte, $lt or $lte.');
  elsif operator in ('$contains', '$startsWith', '$endsWith', '$regex') and v_type = 'string' then
    if length(operand #>> '{}') not between 1 and c_fragment_max then
      perform outbox.refuse_input(place, format('must have 1 to %s characters', c_fragment_max),
        'Use $exists for a field that must only be present.');
    elsif operator = '$regex' then
      perform outbox.check_regex(operand #>> '{}', place);
    end if;
  end if;
end
$$;

comment on function outbox.check_operand(text, jsonb, text, text) is
  'Refuses an unknown operator of a filter, and an operand that the operator cannot compare with.';

revoke all on function outbox.check_operand(text, jsonb, text, text) from public;
