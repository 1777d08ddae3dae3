-- What people do by hand with deliveries: runs over history, and how often one delivery was put back.

create table outbox.replays (
  id               bigint      generated always as identity primary key,
  subscription_id  uuid        not null,
  destination_id   uuid        not null references outbox.destinations (id) on delete cascade,
  tenant_id        text        not null,
  repeats          boolean     not null,
  status           text        not null default 'running',
  waits_for        text,
  actor            text        not null,
  db_user          text        not null default session_user,
  since            timestamptz not null,
  until            timestamptz not null,
  topics           text[],
  filter           jsonb,
  filter_path      jsonpath,
  max_deliveries   bigint,
  rate             numeric     not null,
  allowance        numeric     not null default 0,
  advanced_at      timestamptz not null default clock_timestamp(),
  due_at           timestamptz not null default clock_timestamp(),
  after_event_id   uuid        not null,
  until_event_id   uuid        not null,
  settled_event_id uuid,
  created_xid      xid8,
  barrier_xid      xid8,
  looked_at        bigint      not null default 0,
  repeated         bigint      not null default 0,
  made             bigint      not null default 0,
  left_alone       bigint      not null default 0,
  created_at       timestamptz not null default now(),
  finished_at      timestamptz,
  constraint status_is_known check (status in ('running', 'paused', 'done', 'cancelled')),
  constraint finished_when_ended check ((status in ('done', 'cancelled')) = (finished_at is not null)),
  constraint rate_is_one_in_100_seconds_to_10000_a_second check (rate between 0.01 and 10000),
  constraint max_deliveries_is_positive check (max_deliveries > 0),
  constraint a_barrier_is_for_a_start_position check (created_xid is null or settled_event_id is not null)
) with (fillfactor = 50);
comment on table outbox.replays is
  'Runs over the events of the past for one subscription: replays that people asked for, and the history of subscriptions that did not start now. Workers advance them in small steps (outbox.advance_replays); outbox.replay_progress shows them.';
comment on column outbox.replays.repeats is
  'True: a replay, what has ended is delivered again. False: the start position of a subscription, only what it never got is delivered.';
comment on column outbox.replays.waits_for is 'Why it does not advance at present. Null: it does, or it has ended.';
comment on column outbox.replays.actor is 'Who asked: the actor that was named in the call, or else the database user.';
comment on column outbox.replays.db_user is 'session_user of the connection, whatever actor was named.';
comment on column outbox.replays.since is 'Events from this time on.';
comment on column outbox.replays.until is 'Events before this time.';
comment on column outbox.replays.topics is 'Only these topics. Null: those of the subscription, as they are when an event''s turn comes.';
comment on column outbox.replays.filter is 'Only payloads that pass. Null: the filter of the subscription, as it is when an event''s turn comes.';
comment on column outbox.replays.filter_path is 'The filter compiled by outbox.compile_filter.';
comment on column outbox.replays.max_deliveries is 'It is done after so many deliveries. Null: when the range ends.';
comment on column outbox.replays.rate is 'Deliveries a second, at most.';
comment on column outbox.replays.allowance is 'Deliveries that the rate allowed and that were not made yet, when it last advanced.';
comment on column outbox.replays.advanced_at is 'When it last advanced: the allowance grows from here.';
comment on column outbox.replays.due_at is 'Not advanced before this time.';
comment on column outbox.replays.after_event_id is 'How far it is: events up to this id are through.';
comment on column outbox.replays.until_event_id is 'Events from this id on are not looked at.';
comment on column outbox.replays.settled_event_id is
  'Of a start position: events of older ids were all committed when the subscription was made, so one pass finds them. Later ones are looked at once more.';
comment on column outbox.replays.created_xid is
  'Of a start position: the transaction that made the subscription, until all that could not see it have ended.';
comment on column outbox.replays.barrier_xid is
  'When every transaction below this id has ended, nothing can be committed any more that did not see the subscription: the second pass starts.';
comment on column outbox.replays.looked_at is 'Events, whether they matched or not.';
comment on column outbox.replays.repeated is 'Deliveries that had ended and were put back to work.';
comment on column outbox.replays.made is 'Deliveries that did not exist.';
comment on column outbox.replays.left_alone is
  'Events that matched and were not delivered again: their delivery was pending, held or cancelled, ended after the replay was asked for, or was redriven too often.';
create index replays_running on outbox.replays (due_at) where status = 'running';
create index replays_by_destination on outbox.replays (destination_id);

alter table outbox.deliveries
  add column replay_id bigint,
  add column redrive_count integer;
comment on column outbox.deliveries.replay_id is 'The replay that made it, or put it back to work last. Null: none, or it was redriven since.';
comment on column outbox.deliveries.redrive_count is 'How often people put it back to work; policy redrives_max is the limit. Null: never.';
comment on column outbox.deliveries.redriven_by is 'Who redrove or replayed it last.';
create index deliveries_by_replay on outbox.deliveries (replay_id, event_id) where replay_id is not null;

alter table outbox.attempts
  drop constraint trigger_is_known,
  add constraint trigger_is_known check (trigger in ('event', 'retry', 'redrive', 'replay'));
comment on column outbox.attempts.trigger is 'What asked for it: the event itself, the schedule (retry), or a person (redrive, replay).';
comment on column outbox.attempts.requested_by is 'The person, for a redrive or a replay.';
alter type outbox.recorded_attempt add attribute replay_id bigint;

-- Functions that now take more than they did: the old form would stand beside the new.
drop function if exists outbox.attempt_trigger(integer, text);
drop function if exists outbox.create_subscription(uuid, text[], jsonb, text);
drop function if exists outbox.create_destination(text, jsonb, jsonb, text[], jsonb, text, text, jsonb, text);
