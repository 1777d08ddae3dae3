-- The rules for a row of outbox.events. Constraints would be read anew for each statement, twelve of them: a seventh of an insert's time.
-- A counted repetition in a pattern, like {1,128}, takes longer to match than all the rest of the check together.

create or replace function outbox.tg_events__check() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_broken constant text := case
    when NEW.topic !~ '\A[a-z0-9_]+(\.[a-z0-9_]+)*\Z' or octet_length(NEW.topic) > 128 then 'topic_is_dotted_lower_case'
    when NEW.tenant_id !~ '\A[^[:cntrl:][:space:]*]+\Z' or length(NEW.tenant_id) > 128 then 'tenant_id_is_1_to_128_printable_characters'
    when octet_length(NEW.key) not between 1 and 512 then 'key_is_1_to_512_bytes'
    when octet_length(NEW.dedupe_key) not between 1 and 512 then 'dedupe_key_is_1_to_512_bytes'
    when NEW.traceparent !~ '\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z' then 'traceparent_is_w3c'
    when NEW.headers is not null and (
      jsonb_typeof(NEW.headers) <> 'object'
      or jsonb_path_exists(NEW.headers, 'strict $.* ? (@.type() != "string")')
      or jsonb_path_exists(NEW.headers, 'strict $.keyvalue() ? (!(@.key like_regex "^[-A-Za-z0-9!#$%&''*+.^_`|~]{1,128}$"))')
      or jsonb_path_exists(NEW.headers, 'strict $.* ? (!(@ like_regex "^[ -~]*$"))')
    ) then 'headers_map_names_to_strings'
    when octet_length(NEW.headers::text) > 8192 then 'headers_are_at_most_8_kib'
    when NEW.occurred_at not between '2000-01-01 00:00:00+00' and NEW.created_at + interval '1 day'
      or coalesce(NEW.deliver_after, NEW.created_at) not between '2000-01-01 00:00:00+00' and NEW.created_at + interval '400 days' then 'times_are_near_the_present'
    when NEW.expires_at not between '2000-01-01 00:00:00+00' and NEW.created_at + interval '800 days'
      or NEW.expires_at <= NEW.deliver_after then 'expires_at_is_near_the_present_and_after_deliver_after'
    when octet_length(NEW.payload::text) > 1048576 then 'payload_is_at_most_1_mib'
    when octet_length(NEW.payload::text) < 130 and NEW.payload::jsonb is null
      or octet_length(NEW.payload::text) >= 130
      and jsonb_path_exists(NEW.payload::jsonb, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")')
      then 'payload_nests_at_most_64_levels'
    when (NEW.payload::text ~ '[0-9][eE]' or octet_length(NEW.payload::text) >= 255 and NEW.payload::text ~ '[0-9]{255}')
      and jsonb_path_exists(
        NEW.payload::jsonb, '$.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))')
      then 'payload_numbers_fit_a_double'
  end;
begin
  if v_broken is null then
    return NEW;
  end if;
  raise exception 'events.%', case v_broken
    when 'topic_is_dotted_lower_case' then format('topic: must be dotted lower-case words of at most 128 bytes, like order.paid, not "%s"', left(NEW.topic, 200))
    when 'tenant_id_is_1_to_128_printable_characters' then format('tenant_id: must be 1 to 128 characters without spaces and *, not "%s"', left(NEW.tenant_id, 200))
    when 'key_is_1_to_512_bytes' then format('key: must have 1 to 512 bytes, not %s', octet_length(NEW.key))
    when 'dedupe_key_is_1_to_512_bytes' then format('dedupe_key: must have 1 to 512 bytes, not %s', octet_length(NEW.dedupe_key))
    when 'traceparent_is_w3c' then format('traceparent: must be as W3C Trace Context says, not "%s"', left(NEW.traceparent, 200))
    when 'headers_map_names_to_strings' then 'headers: must be an object of header names and strings of printable ASCII'
    when 'headers_are_at_most_8_kib' then format('headers: must have at most 8192 bytes, not %s', octet_length(NEW.headers::text))
    when 'times_are_near_the_present' then
      format('occurred_at, deliver_after: must lie between the year 2000 and 1 day, or 400 days, after created_at, not %s, %s', NEW.occurred_at, NEW.deliver_after)
    when 'expires_at_is_near_the_present_and_after_deliver_after' then
      format('expires_at: must lie after deliver_after and at most 800 days after created_at, not %s', NEW.expires_at)
    when 'payload_is_at_most_1_mib' then format('payload: must have at most 1048576 bytes, not %s', octet_length(NEW.payload::text))
    when 'payload_nests_at_most_64_levels' then 'payload: must nest at most 64 levels deep'
    when 'payload_numbers_fit_a_double' then 'payload: has a number that is larger than a double can be; send it as a string'
  end
  using errcode = 'check_violation', constraint = v_broken, table = 'events', schema = 'outbox';
end
$$;
revoke all on function outbox.tg_events__check() from public;
comment on function outbox.tg_events__check() is
  'Refuses an event that could not be delivered, with an error that names the field and what is wrong with it: a check_violation with the name of the rule as its constraint.';

create or replace trigger _010_check
  before insert on outbox.events
  for each row execute function outbox.tg_events__check();
alter table outbox.events enable always trigger _010_check;
comment on trigger _010_check on outbox.events is 'What is wrong is refused at the insert, whatever session_replication_role says.';
