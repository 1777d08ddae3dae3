create or replace view outbox.lag with (security_invoker = true) as
select
  (select count(*) from outbox.workers as w where w.heartbeat_at > now() - outbox.worker_lease()) as live_workers,
  p.pending, p.due, p.oldest_due,
  (select coalesce(sum(cardinality(q.event_ids)), 0) from outbox.deferred_events as q) as deferred_events,
  (select count(*) from outbox.deliveries as d where d.held_at is not null and d.held_reason <> 'parked') as held,
  (select count(*) from outbox.deliveries as d where d.dead_at is not null) as dead
from (
  select
    count(*) as pending,
    count(*) filter (where q.next_attempt_at is null or q.next_attempt_at <= now()) as due,
    max(now() - q.created_at) filter (where q.next_attempt_at is null) as oldest_due
  from outbox.pending_deliveries() as q
) as p;
comment on view outbox.lag is
  'One row: how far behind delivery is. oldest_due is the age of the oldest delivery that waits for its first attempt.';
