-- Events: the only table that producers touch, and the only rows that are never updated.

create table outbox.events (
  id            uuid        not null default outbox.uuid_v7(),
  seq           bigint      not null generated always as identity (cache 1),
  topic         text        not null,
  tenant_id     text        not null default 'default',
  key           text,
  occurred_at   timestamptz not null default clock_timestamp(),
  created_at    timestamptz not null default now(),
  deliver_after timestamptz,
  dedupe_key    text,
  traceparent   text,
  headers       jsonb,
  payload       json        not null,
  primary key (id),
  constraint topic_is_dotted_lower_case
    check (topic ~ '\A[a-z0-9_]+(\.[a-z0-9_]+)*\Z' and octet_length(topic) <= 128),
  constraint tenant_id_is_1_to_128_printable_characters
    check (tenant_id ~ '\A[^[:cntrl:][:space:]*]{1,128}\Z'),
  constraint key_is_1_to_512_bytes check (octet_length(key) between 1 and 512),
  constraint dedupe_key_is_1_to_512_bytes check (octet_length(dedupe_key) between 1 and 512),
  constraint traceparent_is_w3c check (traceparent ~ '\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z'),
  constraint headers_map_names_to_strings check (
    jsonb_typeof(headers) = 'object'
    and not jsonb_path_exists(headers, 'strict $.* ? (@.type() != "string")')
    and not jsonb_path_exists(headers, 'strict $.keyvalue() ? (!(@.key like_regex "^[-A-Za-z0-9!#$%&''*+.^_`|~]{1,128}$"))')
    and not jsonb_path_exists(headers, 'strict $.* ? (!(@ like_regex "^[ -~]*$"))')
  ),
  constraint headers_are_at_most_8_kib check (octet_length(headers::text) <= 8192),
  constraint times_are_near_the_present check (
    occurred_at between '2000-01-01 00:00:00+00' and created_at + interval '1 day'
    and coalesce(deliver_after, created_at) between '2000-01-01 00:00:00+00' and created_at + interval '400 days'
  ),
  constraint payload_is_at_most_1_mib check (octet_length(payload::text) <= 1048576),
  constraint payload_nests_at_most_64_levels check (
    octet_length(payload::text) < 130 and payload::jsonb is not null
    or not jsonb_path_exists(payload::jsonb, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")')
  ),
  constraint payload_numbers_fit_a_double check (
    payload::text !~ '[0-9][eE]|[0-9]{255}'
    or not jsonb_path_exists(
      payload::jsonb, '$.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))')
  )
) partition by range (id);

comment on table outbox.events is
  'Facts that producers inserted, in the transaction of their own data: insert into outbox.events (topic, payload) values (...). Insert-only; one partition a day.';
comment on column outbox.events.id is 'UUIDv7. The same on every attempt: receivers recognise a repetition by it (webhook-id).';
comment on column outbox.events.seq is 'Order of insertion. Transactions that change the same row insert in the order in which they commit.';
comment on column outbox.events.topic is 'Dotted lower-case name of the kind of fact, past tense: order.paid. At most 128 bytes.';
comment on column outbox.events.tenant_id is 'The name that walls events, destinations and subscriptions apart. Without tenants: ''default''.';
comment on column outbox.events.key is 'What the event is about (an order number): the key of ordered delivery, partitioning and grouping.';
comment on column outbox.events.occurred_at is 'When the fact happened, by the producer''s word.';
comment on column outbox.events.created_at is 'Start of the producer''s transaction.';
comment on column outbox.events.deliver_after is 'Nothing is sent before this time. Null: at once.';
comment on column outbox.events.dedupe_key is 'A second insert with the same tenant_id and dedupe_key is skipped without an error.';
comment on column outbox.events.traceparent is 'W3C Trace Context of the producer, passed on to receivers.';
comment on column outbox.events.headers is 'Names and string values that travel beside the payload, as HTTP headers or message attributes.';
comment on column outbox.events.payload is
  'JSON, delivered byte for byte as inserted. At most 256 KiB (outbox.payload_bytes_max raises it, up to 1 MiB), 64 levels deep, no \u0000, numbers within a double.';
comment on constraint payload_nests_at_most_64_levels on outbox.events is
  'Also refuses what jsonb refuses and receivers choke on: \u0000 and lone surrogates. A payload under 130 bytes cannot nest 65 levels.';
comment on constraint payload_numbers_fit_a_double on outbox.events is 'Receivers read numbers as doubles: 1e400 would arrive as null or infinity.';

create table outbox.dedupe_keys (
  tenant_id  text        not null,
  dedupe_key text        not null,
  event_id   uuid        not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, dedupe_key)
);
comment on table outbox.dedupe_keys is
  'The first event of each (tenant_id, dedupe_key). Unpartitioned, so that uniqueness holds over all days; forgotten with the events.';
create index dedupe_keys_by_age on outbox.dedupe_keys (created_at);

create table outbox.deferred_events (
  id        bigint generated always as identity primary key,
  event_ids uuid[] not null
);
comment on table outbox.deferred_events is
  'Events committed with outbox.fan_out = deferred that no worker has fanned out yet: a row for up to 1,000 events of a statement.';
