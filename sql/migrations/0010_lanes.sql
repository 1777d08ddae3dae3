-- Ordered delivery: each key of an ordered subscription is a lane, whose deliveries go one after another.

alter table outbox.subscriptions
  add column ordered boolean not null default false,
  add column on_dead text not null default 'block',
  add column has_lanes boolean not null default false,
  add constraint on_dead_is_known check (on_dead in ('block', 'skip', 'park'));
comment on column outbox.subscriptions.ordered is
  'Events with the same key are delivered one after another, in the order of seq. Those without a key are not ordered.';
comment on column outbox.subscriptions.on_dead is
  'When the first of a lane dies: block (the others wait until it is redriven or cancelled), skip (they go on), park (they wait, and are no backlog).';
comment on column outbox.subscriptions.has_lanes is 'Is ordered or was: its deliveries may be in lanes.';
create index subscriptions_with_lanes on outbox.subscriptions (id) where has_lanes;

alter table outbox.deliveries
  add column lane_seq bigint,
  add constraint lane_seq_is_the_seq_of_a_keyed_event check (lane_seq is null or lane_seq = seq and key is not null);
comment on column outbox.deliveries.lane_seq is
  'Its place in the lane (subscription_id, key): seq, until it has left the lane. Null for what is not ordered, so that this stays HOT.';
create index deliveries_in_lanes on outbox.deliveries (subscription_id, key, lane_seq) where lane_seq is not null;
comment on column outbox.deliveries.held_reason is
  'Why it waits without a job: destination_disabled, circuit_open, ramp or limit (see outbox.holds); lane (others of its key go first), parked (the first of its key is dead).';

alter table outbox.instance
  add column tended_subscription_id uuid,
  add column tended_key text;
comment on column outbox.instance.tended_subscription_id is 'The lane that outbox.tend_lanes looked at last. Null: it begins anew.';
comment on column outbox.instance.tended_key is 'The key of that lane.';

-- Functions that now take or return more than they did.
drop function if exists outbox.new_deliveries(text, text[], jsonb, timestamptz);
drop function if exists outbox.load_deliveries(uuid, uuid[], uuid[]);
drop function if exists outbox.claim_deliveries(uuid, uuid[], uuid[]);
drop function if exists outbox.create_destination(text, jsonb, jsonb, text[], jsonb, text, text, jsonb, text);
drop function if exists outbox.create_subscription(uuid, text[], jsonb, text);
drop function if exists outbox.update_subscription(uuid, text[], jsonb, boolean, text);
