-- JSON Schema patterns are JavaScript's. Both languages agree on what the token list below lets through, matched under
-- collate "C" (\d and \w are ASCII there, as in JavaScript), once a dot has become what it means in JavaScript. Left out,
-- because they differ: \b \B \s \S \x \c \0, back-references, named groups, inline flags, a bare [ ] in a class, a bare ].
create or replace function outbox.portable_pattern(pattern text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_escape   constant text := '\\(?:[!-/:-@[-`{-~]|[dDwWtnrfv]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})';
  c_class    constant text := '\[\^?(?:[^][\\]|' || c_escape || ')+\]';
  c_group    constant text := '\((?!\?)|\(\?(?:[:=!]|<[=!])';
  v_read     text;
  v_portable text;
begin
  select
    string_agg(token.part[1], '' order by token.number),
    string_agg(case token.part[1] when '.' then '[^\n\r\u2028\u2029]' else token.part[1] end, '' order by token.number)
  into v_read, v_portable
  from regexp_matches(pattern, c_class || '|' || c_escape || '|' || c_group || '|[^][\\(]', 'g') with ordinality as token (part, number);
  if v_read is distinct from pattern then
    return null;
  end if;
  perform '' collate "C" ~ v_portable;
  return v_portable;
exception
  when invalid_regular_expression then
    return null;
end
$$;

comment on function outbox.portable_pattern(text) is
  'Translates a JavaScript regular expression to one that Postgres matches alike under collate "C"; null where the two languages may differ.';

revoke all on function outbox.portable_pattern(text) from public;
