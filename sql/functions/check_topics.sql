create or replace function outbox.check_topics(topics text[])
returns text[]
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_topics_max constant integer := 100;
  c_bytes_max  constant integer := 128;
  v_place      text;
  v_topic      text;
begin
  if coalesce(cardinality(topics), 0) = 0 then
    perform outbox.refuse_input('topics', 'must not be empty', 'Write {*} for every topic.');
  elsif cardinality(topics) > c_topics_max then
    perform outbox.refuse_input('topics', format('has more than %s entries', c_topics_max), 'Use a prefix, as in order.*.');
  end if;
  for v_place, v_topic in
    select format('topics[%s]', entry.number - 1), entry.topic
    from unnest(topics) with ordinality as entry (topic, number)
  loop
    if v_topic is null then
      perform outbox.refuse_input(v_place, 'must not be null', 'Leave it out.');
    elsif octet_length(regexp_replace(v_topic, '\.\*$', '')) > c_bytes_max then
      perform outbox.refuse_input(v_place, format('is longer than %s bytes', c_bytes_max), 'Use a prefix, as in order.*.');
    elsif v_topic <> '*' and v_topic !~ '^[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?$' then
      perform outbox.refuse_input(v_place, 'is not a topic', outbox.suggest_topic(v_topic));
    end if;
  end loop;
  return array(
    select distinct entry.topic collate "C"
    from unnest(topics) as entry (topic)
    order by 1
  );
end
$$;

comment on function outbox.check_topics(text[]) is
  'Returns the topics of a subscription sorted and without doubles; PR001 unless each is a topic, a topic with .* behind it, or *.';

revoke all on function outbox.check_topics(text[]) from public;

create or replace function outbox.suggest_topic(wrong text)
returns text
language sql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when wrong ~ '[A-Z]' then 'Topics are lower-case, as in order.paid.'
    when wrong ~ '\*' then 'A * stands alone, or at the end after a dot, as in order.*.'
    else 'A topic is words of a-z, 0-9 and _ with dots between, as in order.paid.'
  end
$$;

comment on function outbox.suggest_topic(text) is
  'Tells the author of a wrong topic how topics are written.';

revoke all on function outbox.suggest_topic(text) from public;
