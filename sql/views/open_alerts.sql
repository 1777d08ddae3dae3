create or replace view outbox.open_alerts with (security_invoker = true) as
select
  a.kind, a.severity, a.tenant_id, a.destination, a.since, a.count, a.title, a.text, a.last_error ->> 'code' as error_code,
  a.last_error ->> 'message' as error, a.last_error ->> 'remedy' as remedy, a.look, a.redrive, a.id, a.destination_id, a.dedup_key
from (
  select distinct on (q.dedup_key) q.*, d.name as destination
  from outbox.alerts as q
  join outbox.destinations as d on d.id = q.destination_id
  where q.resolved_at is null
  order by q.dedup_key, q.level desc
) as a
order by array_position('{critical,warning,info}', a.severity), a.since;
comment on view outbox.open_alerts is
  'What is wrong now, the worst first: each trouble at the highest level that it has reached, with the last error, its remedy, and the SQL to look and to redrive.';
