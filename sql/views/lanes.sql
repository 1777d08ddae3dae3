create or replace view outbox.lanes with (security_invoker = true) as
select
  l.subscription_id, l.key, l.tenant_id, l.destination_id, s.on_dead, n.length, l.created_at as since,
  l.event_id as head_event_id, l.status as head_status, l.held_reason as head_held_reason, l.attempt_count as head_attempts,
  l.next_attempt_at as head_next_attempt_at, l.error_code as head_error_code
from (
  select distinct on (d.subscription_id, d.key) d.*
  from outbox.deliveries as d
  where d.lane_seq is not null
  order by d.subscription_id, d.key, d.lane_seq
) as l
join (
  select d.subscription_id, d.key, count(*) as length
  from outbox.deliveries as d
  where d.lane_seq is not null
  group by d.subscription_id, d.key
) as n on n.subscription_id = l.subscription_id and n.key = l.key
join outbox.subscriptions as s on s.id = l.subscription_id;
comment on view outbox.lanes is
  'Each key of an ordered subscription that something waits for: how many deliveries, since when, and how its head stands. While the head is dead, the lane waits: outbox.redrive or outbox.cancel of head_event_id lets it go on.';
