-- How long things are worth something: an event until it expires, a delivery until its maximum age, a day until its retention.

alter table outbox.events
  add column expires_at timestamptz,
  add constraint expires_at_is_near_the_present_and_after_deliver_after check (
    expires_at between '2000-01-01 00:00:00+00' and created_at + interval '800 days'
    and coalesce(deliver_after < expires_at, true)
  );
comment on column outbox.events.expires_at is
  'Worthless from this time on: no attempt starts any more, what has not arrived ends as dead with the code expired. Null: only the maximum age of the policy counts.';

alter table outbox.deliveries
  add column expires_at timestamptz,
  add column counted_from timestamptz;
comment on column outbox.deliveries.expires_at is 'events.expires_at.';
comment on column outbox.deliveries.counted_from is
  'Its maximum age counts from here, and nothing is sent before: deliver_after, or the time of its last redrive. Null: from created_at.';

-- Only what is held waits without anybody looking at it: everything else meets its time at a claim.
create index deliveries_held_expiring on outbox.deliveries (expires_at) where held_at is not null and expires_at is not null;
create index deliveries_held_by_age on outbox.deliveries (destination_id, (coalesce(counted_from, created_at))) where held_at is not null;

alter type outbox.recorded_attempt add attribute expired text;
comment on type outbox.recorded_attempt is
  'A reported attempt that counted, and what it made of its delivery; expired says what left no time for another one.';

create table outbox.retention (
  topics     text        primary key,
  keep       interval    not null,
  updated_at timestamptz not null default now(),
  constraint keeps_a_day_to_a_hundred_years check (keep between interval '1 day' and interval '100 years')
);
comment on table outbox.retention is
  'How long events of these topics are kept, with their deliveries and attempts; changed by outbox.set_retention. The topic itself counts before the longest prefix, and that before *; where nothing is said here, the retention of the workers'' configuration counts.';
comment on column outbox.retention.topics is 'A topic, a prefix (order.*) or everything (*).';
comment on column outbox.retention.keep is 'Counted from the end of the event''s day (UTC).';

alter table outbox.instance add column retention interval not null default '30 days';
comment on column outbox.instance.retention is 'The retention that outbox.prune was last called with: that of the workers'' configuration.';

create table outbox.pruned_days (
  day        date        primary key,
  rules      text        not null,
  due_topics text[]      not null,
  swept_to   uuid,
  swept_at   timestamptz,
  left_over  bigint      not null default 0
);
comment on table outbox.pruned_days is
  'Days that are kept for some topics while others may be past their retention: what is to go of each, and how far its rows have been deleted.';
comment on column outbox.pruned_days.day is 'In UTC, as partitions are.';
comment on column outbox.pruned_days.rules is 'Which retentions were over (-) and which were not (+) when the day was looked at.';
comment on column outbox.pruned_days.due_topics is 'The topics whose rows are to go.';
comment on column outbox.pruned_days.swept_to is 'The last event that was looked at. Null: at the beginning.';
comment on column outbox.pruned_days.swept_at is 'When the end of the day was reached. Null: not yet.';
comment on column outbox.pruned_days.left_over is 'Events passed over because a delivery of theirs was unfinished.';
