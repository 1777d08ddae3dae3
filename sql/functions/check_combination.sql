create or replace function outbox.check_combination(operator text, operand jsonb, place text)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  if operator = '$not' and jsonb_typeof(operand) <> 'object' then
    perform outbox.refuse_input(place, 'must be an object', 'Write {"$not": {...}}, or $ne for a value.');
  elsif operator <> '$not' and (jsonb_typeof(operand) <> 'array' or operand = '[]') then
    perform outbox.refuse_input(place, 'must be a list of at least one filter', format('Write {"%s": [{...}, {...}]}.', operator));
  elsif operator <> '$not' and jsonb_path_exists(operand, 'strict $[*] ? (@.type() != "object")') then
    perform outbox.refuse_input(place, 'must hold only filters', 'Write each entry as {...}, or use $in for a list of values.');
  end if;
end
$$;

comment on function outbox.check_combination(text, jsonb, text) is
  'Refuses $and, $or and $not over anything but filters, and over no filter at all.';

revoke all on function outbox.check_combination(text, jsonb, text) from public;
