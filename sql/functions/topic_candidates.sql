-- A loop, because it is called for each event: a query over generate_series took 3 to 10 times as long.
create or replace function outbox.topic_candidates(topic text)
returns text[]
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_candidates text[] := case when starts_with(topic, 'postrider.') then '{}' else '{*}' end;
  v_prefix     text := '';
  v_word       text;
begin
  foreach v_word in array string_to_array(topic, '.') loop
    if v_prefix <> '' then
      v_candidates := v_candidates || (v_prefix || '*');
    end if;
    v_prefix := v_prefix || v_word || '.';
  end loop;
  return v_candidates || topic;
end
$$;

comment on function outbox.topic_candidates(text) is
  'Lists every subscription topic that wants this topic: *, each prefix with .*, and the topic itself; a subscription matches if its topics overlap. What Postrider says itself (postrider.*) is not wanted by *, only by name.';

revoke all on function outbox.topic_candidates(text) from public;
