create or replace function outbox.check_filter_size(filter jsonb)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_bytes_max constant integer := 4096;
  c_nodes_max constant integer := 64;
begin
  if octet_length(filter::text) > c_bytes_max then
    perform outbox.refuse_input('filter', format('is longer than %s bytes', c_bytes_max), 'Split it over several subscriptions.');
  end if;
  if jsonb_path_exists(filter, 'strict $.**{9}') then
    perform outbox.refuse_input('filter', 'is nested deeper than 8 levels', 'Use $jsonpath for a value that lies deeper.');
  end if;
  if jsonb_array_length(jsonb_path_query_array(filter, 'strict $.**{1 to last}')) > c_nodes_max then
    perform outbox.refuse_input(
      'filter',
      format('has more than %s parts', c_nodes_max),
      'Each field, operator and list entry is a part: split the filter over several subscriptions.'
    );
  end if;
end
$$;

comment on function outbox.check_filter_size(jsonb) is
  'Refuses a filter over 4096 bytes, 8 levels or 64 parts (a part is a field, an operator or an entry of a list).';

revoke all on function outbox.check_filter_size(jsonb) from public;
