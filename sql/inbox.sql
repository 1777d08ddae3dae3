-- The inbox: events that Postrider delivers into another database, each once. Run by postrider inbox install; in psql:
-- psql -v schema=outbox -f inbox.sql. Safe to repeat.

begin;
select pg_advisory_xact_lock(hashtext('postrider.inbox'));

create schema if not exists :"schema";

create table if not exists :"schema".inbox (
  source       text        not null,
  event_id     uuid        not null,
  topic        text        not null,
  key          text,
  payload      json        not null,
  headers      jsonb       not null default '{}',
  occurred_at  timestamptz not null,
  received_at  timestamptz not null default now(),
  processed_at timestamptz,
  primary key (source, event_id)
);

create index if not exists inbox_unprocessed on :"schema".inbox (received_at, event_id) where processed_at is null;

comment on table :"schema".inbox is
  'Events from other databases, delivered by Postrider: a second copy of an event has no effect. Consumers take the oldest with for update skip locked, and set processed_at in the transaction of their own work.';
comment on column :"schema".inbox.source is 'Who sent it: a URI reference, /postrider/ and the tenant unless the destination says otherwise.';
comment on column :"schema".inbox.event_id is 'The id of the event where it happened: a UUIDv7, so ids sort by time. Unique with its source.';
comment on column :"schema".inbox.topic is 'What happened, such as order.paid.';
comment on column :"schema".inbox.key is 'What it happened to, where the producer said so.';
comment on column :"schema".inbox.payload is 'Byte for byte as the producer inserted it.';
comment on column :"schema".inbox.headers is 'Names and string values that travelled beside the payload; traceparent among them.';
comment on column :"schema".inbox.occurred_at is 'When it happened, by the clock of the producer.';
comment on column :"schema".inbox.received_at is 'When it was inserted here.';
comment on column :"schema".inbox.processed_at is 'When a consumer had done its work; null until then. Delete rows only when their event cannot be sent again.';
comment on index :"schema".inbox_unprocessed is 'What consumers look for.';

commit;
