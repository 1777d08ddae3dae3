-- How long things are worth something: an event until it expires, a delivery until its maximum age.

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
