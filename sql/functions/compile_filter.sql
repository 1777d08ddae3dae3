-- The JSON form of a filter becomes one jsonpath predicate, once, when the subscription is written. The limits keep the
-- work of evaluating it small: it runs inside the producer's transaction.
create or replace function outbox.compile_filter(filter jsonb)
returns jsonpath
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  if filter is null or filter in ('null', '{}') then
    return null;
  end if;
  if jsonb_typeof(filter) <> 'object' then
    perform outbox.refuse_input('filter', 'must be an object',
      'Write {"field": condition}, or {} to match every event.');
  end if;
  perform outbox.check_filter_size(filter);
  if filter ? '$jsonpath' then
    if (filter - '$jsonpath') <> '{}' then
      perform outbox.refuse_input('filter.$jsonpath', 'must stand alone',
        'Write the other conditions into the jsonpath too, joined by &&.');
    end if;
    return outbox.check_jsonpath(filter -> '$jsonpath', 'filter.$jsonpath');
  end if;
  return outbox.compile_condition(filter, '$', 'filter', false)::jsonpath;
end
$$;

comment on function outbox.compile_filter(jsonb) is
  'Turns a filter as people write it into the jsonpath predicate that decides; null for a filter that every event passes; PR001 for a mistake.';

revoke all on function outbox.compile_filter(jsonb) from public;
