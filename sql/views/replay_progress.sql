create or replace view outbox.replay_progress with (security_invoker = true) as
select
  r.id, case when r.repeats then 'replay' else 'start position' end as kind, r.status, r.waits_for,
  t.name as destination, r.since, r.until, nullif(outbox.time_of(r.after_event_id), to_timestamp(0)) as position,
  r.looked_at, r.repeated, r.made, r.left_alone, d.delivered, d.dead, d.waiting,
  r.rate, r.max_deliveries, r.actor, r.created_at, r.finished_at, r.tenant_id, r.destination_id, r.subscription_id
from outbox.replays as r
join outbox.destinations as t on t.id = r.destination_id
cross join lateral (
  select
    count(*) filter (where q.status = 'delivered') as delivered,
    count(*) filter (where q.status = 'dead') as dead,
    count(*) filter (where q.status in ('pending', 'held')) as waiting
  from outbox.deliveries as q
  where q.replay_id = r.id
) as d;
comment on view outbox.replay_progress is
  'Each replay and start position: how far it is (position: the time of the event it has come to), what it did, what has become of that, and why it waits. A delivery counts for the run that put it to work last.';
