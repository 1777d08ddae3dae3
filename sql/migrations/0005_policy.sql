-- What holds a destination's deliveries back: circuits, ramps and limits; and the figures they go by.

create table outbox.holds (
  destination_id        uuid        primary key references outbox.destinations (id) on delete cascade,
  reason                text        not null,
  since                 timestamptz not null default now(),
  next_probe_at         timestamptz,
  probe_count           integer     not null default 0,
  probe_event_id        uuid,
  probe_subscription_id uuid,
  ramp_size             integer,
  ramp_at               timestamptz,
  constraint reason_is_known check (reason in ('circuit_open', 'ramp', 'limit')),
  constraint probes_while_open check ((reason = 'circuit_open') = (next_probe_at is not null)),
  constraint a_probe_is_a_delivery_and_only_while_open check (
    (probe_event_id is null) = (probe_subscription_id is null) and (probe_event_id is null or reason = 'circuit_open')),
  constraint ramps_while_ramping check (
    (reason = 'ramp') = (ramp_size is not null) and (ramp_size is null) = (ramp_at is null))
) with (fillfactor = 50);
comment on table outbox.holds is
  'Destinations whose new deliveries are held instead of getting a job, beside disabled ones. No row: they get one. Workers put what is held back, oldest first (outbox.release_held).';
comment on column outbox.holds.reason is
  'circuit_open: it fails, only probes are sent. ramp: it is back, what is held comes in growing portions. limit: more waits than rate_per_second or in_flight_max let through.';
comment on column outbox.holds.since is 'Since when this reason holds.';
comment on column outbox.holds.probe_subscription_id is 'See probe_event_id.';
comment on column outbox.holds.ramp_at is 'When the next portion is due.';
comment on column outbox.holds.next_probe_at is 'When one held delivery is tried, to see whether the destination is back.';
comment on column outbox.holds.probe_count is 'Probes that failed since the circuit opened: the interval doubles with each.';
comment on column outbox.holds.probe_event_id is 'With probe_subscription_id the delivery that is the probe right now: the circuit is half open.';
comment on column outbox.holds.ramp_size is 'How many are put back at ramp_at; doubled each second.';

create table outbox.limits (
  destination_id uuid        primary key references outbox.destinations (id) on delete cascade,
  used_until     timestamptz not null default now(),
  slowed_to      integer,
  slowed_at      timestamptz,
  constraint slowed_since_a_time check ((slowed_to is null) = (slowed_at is null))
) with (fillfactor = 50);
comment on table outbox.limits is
  'What the limited destinations have used. Workers lock a row while they claim for it, so that limits are exact over the fleet; producers never do.';
comment on column outbox.limits.used_until is
  'The rate is used up to this time: each attempt moves it by one interval (the theoretical arrival time of the generic cell rate algorithm, ITU-T I.371).';
comment on column outbox.limits.slowed_at is 'When slowed_to changed last.';
comment on column outbox.limits.slowed_to is
  'Deliveries that may be under way while the destination asks for less (429, 502, 504): halved at each such answer, doubled every 5 seconds without one. Null: not slowed.';

create table outbox.slots (
  event_id        uuid        not null,
  subscription_id uuid        not null,
  destination_id  uuid        not null references outbox.destinations (id) on delete cascade,
  taken_at        timestamptz not null default now(),
  primary key (event_id, subscription_id)
);
create index slots_by_destination on outbox.slots (destination_id);
comment on column outbox.slots.taken_at is 'When it was claimed. A slot whose delivery is not claimed any more is freed after 5 seconds.';
comment on table outbox.slots is 'Deliveries that are under way to destinations with in_flight_max, or slowed ones. Empty where there are none.';

alter table outbox.destination_health
  add column window_ends_at timestamptz,
  add column window_attempts integer not null default 0,
  add column window_failures integer not null default 0;
comment on column outbox.destination_health.window_ends_at is
  'End of the window in which the failure rate is counted: circuit.window_seconds after its first failure.';
comment on column outbox.destination_health.window_attempts is 'Attempts of the window since its first failure. Successes are counted only while there is a window.';
comment on column outbox.destination_health.window_failures is 'Those of them that failed.';

drop index outbox.deliveries_held;
create index deliveries_held on outbox.deliveries (destination_id, held_reason, event_id) where held_at is not null;
comment on column outbox.deliveries.held_reason is
  'Why it waits without a job: destination_disabled, circuit_open, ramp or limit (see outbox.holds).';

-- Functions that now take more than they did: the old form would stand beside the new.
drop function if exists outbox.wake(uuid[], uuid[], timestamptz);
drop function if exists outbox.deliver_job(json, timestamptz);
drop function if exists outbox.record_delivered(uuid, uuid[], uuid[], integer[], integer[], jsonb);
drop function if exists outbox.record_success(uuid[]);
drop function if exists outbox.put_back(outbox.deliveries[], text);
drop function if exists outbox.release_held(integer);
