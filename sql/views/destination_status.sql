create or replace view outbox.destination_status with (security_invoker = true) as
select
  d.id, d.tenant_id, d.name, d.type,
  case
    when d.disabled_at is not null then 'disabled'
    when d.problem is not null then 'problem'
    when k.reason = 'circuit_open' then 'circuit ' || translate(outbox.circuit_of(k), '_', ' ')
    when coalesce(h.consecutive_failures, 0) > 0 then 'failing'
    when h.last_success_at is not null then 'healthy'
    else 'unused'
  end as health,
  coalesce(p.backlog, 0) as backlog,
  p.oldest as oldest_pending,
  coalesce(w.held, 0) as held,
  coalesce(x.dead, 0) as dead,
  coalesce(h.consecutive_failures, 0) as consecutive_failures,
  h.first_failure_at, h.last_failure_at, h.last_success_at, h.last_error_code, h.last_error,
  d.disabled_at, d.disabled_reason, d.problem,
  outbox.circuit_of(k) as circuit, k.reason as held_back_by, k.next_probe_at, l.slowed_to
from outbox.destinations as d
left join outbox.destination_health as h on h.destination_id = d.id
left join outbox.holds as k on k.destination_id = d.id
left join outbox.limits as l on l.destination_id = d.id
left join (
  select q.destination_id, count(*) as backlog, max(now() - q.created_at) as oldest from outbox.pending_deliveries() as q group by q.destination_id
) as p on p.destination_id = d.id
left join (
  select q.destination_id, count(*) as held from outbox.deliveries as q where q.held_at is not null and q.held_reason <> 'parked' group by q.destination_id
) as w on w.destination_id = d.id
left join (
  select q.destination_id, count(*) as dead from outbox.deliveries as q where q.dead_at is not null group by q.destination_id
) as x on x.destination_id = d.id
where d.deleted_at is null;
comment on view outbox.destination_status is
  'Each destination: its health, what waits for it and for how long, what is held and dead, its last error, what is wrong with it, and whether its circuit or a limit holds deliveries back.';
