-- A user's regex runs inside the producer's transaction: what may take more than linear time is refused, and so is what
-- takes long to compile (counted repeats are unrolled by the engine; a backend keeps only 32 compiled expressions).
create or replace function outbox.check_regex(pattern text, place text)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_length_max  constant integer := 200;
  c_repeats_max constant integer := 1000;
  v_bare        text := regexp_replace(pattern, '\\[^0-9]', 'x', 'g');
  v_groups      numeric := 1;
  v_atom        numeric := 1;
  v_repeat      text[];
begin
  if length(pattern) > c_length_max then
    perform outbox.refuse_input(place, format('is longer than %s characters', c_length_max), 'Use several conditions.');
  elsif v_bare ~ '\\[0-9]' then
    perform outbox.refuse_input(place, 'back-references are not allowed', 'Their matching time has no bound.');
  elsif v_bare ~ '\(\?[<=!]' then
    perform outbox.refuse_input(place, 'look-around is not allowed', 'Combine two conditions with $and or $not.');
  elsif v_bare ~ '^\*\*\*' or regexp_replace(v_bare, '^\(\?i\)', '') ~ '\(\?[^:]' then
    perform outbox.refuse_input(place, 'of the embedded options only (?i) at the start is allowed', 'Leave the options out.');
  end if;
  for v_repeat in select regexp_matches(v_bare, '(\)?)\{([0-9]{1,9})(?:,([0-9]{0,9}))?\}', 'g') loop
    if v_repeat[1] = ')' then
      v_groups := v_groups * greatest(coalesce(nullif(v_repeat[3], ''), v_repeat[2])::numeric, 1);
    else
      v_atom := greatest(v_atom, coalesce(nullif(v_repeat[3], ''), v_repeat[2])::numeric);
    end if;
  end loop;
  if v_groups * v_atom > c_repeats_max then
    perform outbox.refuse_input(place, format('repeats more than %s times', c_repeats_max), 'Nested repeat counts multiply: use + or *.');
  end if;
  perform format('$ like_regex %s', to_jsonb(pattern))::jsonpath;
exception
  when invalid_regular_expression then
    perform outbox.refuse_input(place, 'is not a valid regular expression', sqlerrm);
end
$$;

comment on function outbox.check_regex(text, text) is
  'Refuses a regular expression that is invalid, or that could cost more than linear time (back-references, look-around) or long to compile.';

revoke all on function outbox.check_regex(text, text) from public;
