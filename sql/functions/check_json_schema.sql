-- Runs when a destination type is registered: a schema that check_json would not honour in full is a bug of ours, not a
-- mistake of a user, and must not wait for the first config.
create or replace function outbox.check_json_schema(schema jsonb, place text default 'schema')
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem text;
begin
  v_problem := case
    when jsonb_typeof(schema) is distinct from 'object' then 'is not an object'
    else outbox.json_schema_problem(schema)
  end;
  if v_problem is not null then
    raise exception using
      errcode = 'internal_error',
      message = format('%s: %s', place, v_problem),
      hint = 'The destination type must describe its config with what outbox.check_json knows.';
  end if;
  perform outbox.check_json_schema(part.schema, place || '.' || part.name)
  from (
    select 'properties.' || entry.key, entry.value from jsonb_each(schema -> 'properties') as entry
    union all
    select choice.keyword || '[' || (entry.number - 1) || ']', entry.value
    from unnest(array['anyOf', 'oneOf']) as choice (keyword)
    cross join jsonb_array_elements(schema -> choice.keyword) with ordinality as entry (value, number)
    union all
    select entry.key, entry.value
    from jsonb_each(schema) as entry
    where entry.key in ('items', 'propertyNames')
    or (entry.key = 'additionalProperties' and jsonb_typeof(entry.value) <> 'boolean')
  ) as part (name, schema);
end
$$;

comment on function outbox.check_json_schema(jsonb, text) is
  'Raises an internal error for a JSON Schema that holds a keyword, type, format or pattern that outbox.check_json does not honour.';

revoke all on function outbox.check_json_schema(jsonb, text) from public;

create or replace function outbox.json_schema_problem(schema jsonb)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select case
      when keyword.key in ('$schema', 'title', 'description', 'examples', 'default', 'readOnly', 'deprecated', 'generate') then
        null
      when keyword.key = 'type' then case
        when not '["string", "number", "integer", "boolean", "array", "object", "null"]'::jsonb @> keyword.value then
          format('unknown type %s', keyword.value)
      end
      when keyword.key = 'pattern' then case
        when outbox.portable_pattern(keyword.value #>> '{}') is null then
          format('pattern %s may mean something else in Postgres', keyword.value)
      end
      when keyword.key = 'format' then case
        when not schema ? 'pattern' and keyword.value <> '"uri"' then format('format %s without a pattern', keyword.value)
      end
      else case
        when expected.type is null then format('unknown keyword %s', keyword.key)
        when not jsonb_typeof(keyword.value) = any (string_to_array(expected.type, ' ')) then
          format('%s must be of type %s', keyword.key, expected.type)
        when keyword.value = '[]' and keyword.key in ('enum', 'anyOf', 'oneOf') then format('%s is empty', keyword.key)
      end
    end as problem
    from jsonb_each(schema) as keyword
    left join jsonb_each_text('{
      "properties": "object", "required": "array", "additionalProperties": "boolean object", "propertyNames": "object",
      "const": "string number boolean null", "enum": "array", "anyOf": "array", "oneOf": "array", "items": "object",
      "minItems": "number", "maxItems": "number", "minLength": "number", "maxLength": "number",
      "minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number"
    }') as expected (keyword, type) on expected.keyword = keyword.key
    order by problem nulls last
    limit 1
  );
end
$$;

comment on function outbox.json_schema_problem(jsonb) is
  'Finds the first keyword of one JSON Schema object that outbox.check_json does not honour.';

revoke all on function outbox.json_schema_problem(jsonb) from public;
