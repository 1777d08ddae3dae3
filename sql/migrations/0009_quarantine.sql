-- Which suspect a worker is trying: one at a time, so that what brings workers down is found. And who applied what, so that
-- an older worker that is started again does not put its own functions back; and what time each worker has.

alter table outbox.workers
  add column suspect_event_id uuid,
  add column suspect_subscription_id uuid,
  add column clock_ahead_ms integer;
comment on column outbox.workers.suspect_event_id is
  'The event of the delivery that it tried last although workers were lost over it. It takes no other such delivery while it holds this one.';
comment on column outbox.workers.suspect_subscription_id is 'The subscription of that delivery.';

alter table outbox.applied_files
  add column version text;
comment on column outbox.applied_files.version is
  'The version of Postrider that applied it. Older ones leave it as it is. Null: from before this was noted.';

comment on column outbox.workers.clock_ahead_ms is
  'How far its clock was ahead of the server''s at its last heartbeat, milliseconds. Null: it has not said.';

-- Functions that now take more than they did: the old form would stand beside the new.
drop function if exists outbox.heartbeat(uuid);
