create or replace view outbox.pending with (security_invoker = true) as
select
  p.event_id, p.subscription_id, p.tenant_id, p.attempt_count, p.error_code, p.next_attempt_at,
  p.claimed_by is not null as in_flight, now() - p.created_at as age, p.destination_id, p.seq, p.key
from outbox.pending_deliveries() as p;
comment on view outbox.pending is
  'Deliveries that will be tried: at next_attempt_at, or as soon as possible where that is null.';
