-- Reads the canonical text that Postgres prints of the parsed jsonpath, with its string literals taken out: there a
-- variable is $"" and a key accessor is ."", whatever the author wrote. Refused is what raises errors even when silenced
-- (variables, times, .decimal(), .ceiling() of a huge number) and what multiplies: each step may visit each value once.
create or replace function outbox.check_jsonpath(source jsonb, place text)
returns jsonpath
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_bytes_max constant integer := 1000;
  v_path      jsonpath;
  v_bare      text;
  v_method    text;
begin
  if jsonb_typeof(source) <> 'string' then
    perform outbox.refuse_input(place, 'must be a string', 'Write {"$jsonpath": "$.total >= 10"}.');
  elsif octet_length(source #>> '{}') > c_bytes_max then
    perform outbox.refuse_input(place, format('is longer than %s bytes', c_bytes_max), 'Split it over several subscriptions.');
  end if;
  begin
    v_path := (source #>> '{}')::jsonpath;
  exception
    when others then
      perform outbox.refuse_input(place, 'is not a valid jsonpath', sqlerrm);
  end;
  v_bare := regexp_replace(v_path::text, '"(?:[^"\\]|\\.)*"', '""', 'g');
  v_method := substring(v_bare from '\.((?!(?:type|size|abs|double|keyvalue|bigint|boolean|integer|number|string)\()[a-z_]+)\(');
  if octet_length(v_path::text) > 4 * c_bytes_max then
    perform outbox.refuse_input(place, 'holds a number with too many digits', 'Write a smaller number.');
  elsif v_bare ~ '\$""' then
    perform outbox.refuse_input(place, 'variables are not allowed', 'Write the value itself.');
  elsif v_method is not null then
    perform outbox.refuse_input(
      place,
      format('the method .%s() is not allowed', v_method),
      'It can raise errors inside the transaction of the producer. ISO 8601 times in one time zone compare well as strings.'
    );
  elsif v_bare ~ ',' then
    perform outbox.refuse_input(place, 'lists several subscripts', 'Write [*]: a list in each step costs time without bound.');
  elsif v_bare ~ '(\*\*|keyvalue).*(\*\*|keyvalue)' then
    perform outbox.refuse_input(place, 'has more than one .** or .keyvalue()', 'Name the fields on the way.');
  elsif outbox.filters_by_root(v_bare) then
    perform outbox.refuse_input(place, 'refers to $ inside a ?(...)', 'Use @ there: a search within a search costs time without bound.');
  end if;
  perform outbox.check_jsonpath_regexes(v_path, place);
  if coalesce(jsonb_path_query_array('{}', v_path, '{}', true) -> 0, '0') not in ('true', 'false', 'null') then
    perform outbox.refuse_input(place, 'is not a predicate', 'Write a comparison, or exists(...) around the path.');
  end if;
  return v_path;
end
$$;

comment on function outbox.check_jsonpath(jsonb, text) is
  'Parses a raw jsonpath predicate and refuses what could raise an error, or take time without bound, when an event is inserted.';

revoke all on function outbox.check_jsonpath(jsonb, text) from public;

create or replace function outbox.filters_by_root(bare_path text)
returns boolean
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rest text := bare_path;
begin
  while v_rest ~ '\([^()$]*\)' loop
    v_rest := regexp_replace(v_rest, '\([^()$]*\)', '', 'g');
  end loop;
  return v_rest ~ '\?\(';
end
$$;

comment on function outbox.filters_by_root(text) is
  'Says whether a jsonpath without its string literals refers to $ within a filter: all parentheses without a $ fall away, and a ?( is left.';

revoke all on function outbox.filters_by_root(text) from public;

create or replace function outbox.check_jsonpath_regexes(path jsonpath, place text)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token text[];
begin
  for v_token in
    select regexp_matches(path::text, '(like_regex )?("(?:[^"\\]|\\.)*")(?: flag "([a-z]*)")?', 'g')
  loop
    if v_token[1] is not null and coalesce(v_token[3], '') !~ 'q' then
      perform outbox.check_regex(v_token[2]::jsonb #>> '{}', place);
    end if;
  end loop;
end
$$;

comment on function outbox.check_jsonpath_regexes(jsonpath, text) is
  'Holds each like_regex of a raw jsonpath to the same rules as $regex.';

revoke all on function outbox.check_jsonpath_regexes(jsonpath, text) from public;
