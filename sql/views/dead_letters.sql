create or replace view outbox.dead_letters with (security_invoker = true) as
select
  d.event_id, d.subscription_id, d.tenant_id, e.topic, d.error_code, d.attempt_count, d.dead_at, t.name as destination,
  d.destination_id, a.error
from outbox.deliveries as d
join outbox.events as e on e.id = d.event_id
left join outbox.destinations as t on t.id = d.destination_id
left join outbox.attempts as a
  on a.event_id = d.event_id and a.subscription_id = d.subscription_id and a.number = d.attempt_count and not a.late
where d.dead_at is not null;
comment on view outbox.dead_letters is
  'Deliveries that ended without arriving, with the last error. Back to work: select * from outbox.redrive(event_id => ...);';
