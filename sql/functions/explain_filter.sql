create or replace function outbox.explain_filter(payload jsonb, filter jsonb)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_path jsonpath := outbox.compile_filter(filter);
begin
  if outbox.filter_matches(payload, v_path) then
    return null;
  end if;
  if filter ? '$jsonpath' then
    return format('the jsonpath %s does not hold', v_path);
  end if;
  return outbox.explain_condition(payload, filter, '$', '');
end
$$;

comment on function outbox.explain_filter(jsonb, jsonb) is
  'Says in words why a payload does not pass a filter, naming up to three conditions that do not hold; null when it passes.';

revoke all on function outbox.explain_filter(jsonb, jsonb) from public;

create or replace function outbox.explain_condition(payload jsonb, condition jsonb, path text, field text)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_reasons_max constant integer := 3;
begin
  if jsonb_typeof(condition) <> 'object' then
    return outbox.explain_operator(payload, '$eq', condition, path, field);
  end if;
  return (
    select string_agg(part.reason, '; ')
    from (
      select case
        when entry.key like '$%' then
          outbox.explain_operator(payload, entry.key, entry.value, path, field)
        else
          outbox.explain_condition(payload, entry.value, path || '.' || to_jsonb(entry.key), concat_ws('.', nullif(field, ''), entry.key))
      end
      from jsonb_each(condition) as entry (key, value)
      where not outbox.filter_matches(
        payload,
        outbox.compile_condition(jsonb_build_object(entry.key, entry.value), path, field, false)::jsonpath
      )
      limit c_reasons_max
    ) as part (reason)
  );
end
$$;

comment on function outbox.explain_condition(jsonb, jsonb, text, text) is
  'Explains the parts that do not hold of what stands at one field of a filter.';

revoke all on function outbox.explain_condition(jsonb, jsonb, text, text) from public;

create or replace function outbox.explain_operator(payload jsonb, operator text, operand jsonb, path text, field text)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_value_max constant integer := 80;
  c_words     constant jsonb := '{
    "$eq": "is not", "$ne": "is", "$gt": "is not >", "$gte": "is not >=", "$lt": "is not <", "$lte": "is not <=",
    "$in": "is not one of", "$nin": "is one of", "$contains": "does not contain", "$startsWith": "does not start with",
    "$endsWith": "does not end with", "$regex": "does not match"
  }';
  v_found     jsonb := jsonb_path_query_array(payload, path::jsonpath);
begin
  case
    when operator = '$not' then
      return format('%snot %s does not hold', coalesce(nullif(field, '') || ': ', ''), left(operand::text, c_value_max));
    when operator in ('$and', '$or') then
      return (
        select case operator when '$or' then 'none of: ' else '' end || string_agg(entry.reason, case operator when '$or' then ' | ' else '; ' end)
        from (
          select outbox.explain_condition(payload, member.value, path, field)
          from jsonb_array_elements(operand) as member (value)
        ) as entry (reason)
      );
    when operator = '$exists' and v_found <> '[]' then
      return format('%s is present', field);
    when v_found = '[]' then
      return format('%s is missing', field);
    else
      if jsonb_array_length(v_found) = 1 then
        v_found := v_found -> 0;
      end if;
      return format('%s: %s %s %s', field, left(v_found::text, c_value_max), c_words ->> operator, left(operand::text, c_value_max));
  end case;
end
$$;

comment on function outbox.explain_operator(jsonb, text, jsonb, text, text) is
  'Explains one operator of a filter that does not hold: "total: 5 is not >= 10", "customer.country is missing".';

revoke all on function outbox.explain_operator(jsonb, text, jsonb, text, text) from public;
