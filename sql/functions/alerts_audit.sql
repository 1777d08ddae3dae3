-- Circuits and disabling: what the audit log says of them.

create or replace function outbox.alert_from_audit(entry outbox.audit_log) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination outbox.destinations;
  v_failures constant text := entry.detail ->> 'failures';
  v_since timestamptz;
  v_told integer := 0;
begin
  select * into v_destination from outbox.destinations as d where d.id = entry.destination_id;
  if entry.action = 'close_circuit' then
    return outbox.resolve_alert(
      'circuit:' || v_destination.id, v_destination.name || ' answers again',
      'Its circuit has closed: what was held for it is being delivered.', 'circuit_closed');
  elsif entry.action = 'enable_destination' then
    return outbox.resolve_alert(
      'disabled:' || v_destination.id, v_destination.name || ' was enabled',
      format('%s has enabled it: what was held for it is being delivered.', entry.actor));
  elsif entry.action = 'delete_destination' then
    return (
      select coalesce(sum(outbox.resolve_alert(
        a.dedup_key, coalesce(entry.detail ->> 'name', v_destination.name) || ' was deleted', 'Nothing more is sent to it.')), 0)
      from (
        select distinct q.dedup_key from outbox.alerts as q where q.destination_id = v_destination.id and q.resolved_at is null
      ) as a
    );
  elsif v_destination.deleted_at is not null or exists (
    select from outbox.alerts as a
    where a.dedup_key = case entry.action when 'open_circuit' then 'circuit:' else 'disabled:' end || v_destination.id
    and a.resolved_at is null
  ) then
    return 0;
  elsif entry.action = 'open_circuit' then
    select h.first_failure_at into v_since from outbox.destination_health as h where h.destination_id = v_destination.id;
    perform outbox.raise_alert(
      v_destination, 'circuit_opened', 'warning', 'circuit:' || v_destination.id, least(v_since, entry.at),
      case when v_failures ~ '^[0-9]{1,18}$' then v_failures::bigint else 1 end,
      v_destination.name || ' does not answer',
      'Its circuit has opened' || coalesce(': ' || (entry.detail ->> 'reason'), '')
        || '. Deliveries to it are held, and one is tried now and then.',
      outbox.last_error_of(v_destination.id));
  else
    perform outbox.raise_alert(
      v_destination, 'destination_disabled', case entry.actor when 'postrider' then 'critical' else 'info' end,
      'disabled:' || v_destination.id, entry.at, 1,
      v_destination.name || ' was disabled',
      format('%s has disabled it: %s. Deliveries to it are held until: select outbox.enable_destination(%L);',
        entry.actor, coalesce(entry.detail ->> 'reason', 'no reason given'), v_destination.id),
      case entry.actor when 'postrider' then outbox.last_error_of(v_destination.id) end);
  end if;
  return 1;
end
$$;
revoke all on function outbox.alert_from_audit(outbox.audit_log) from public;
comment on function outbox.alert_from_audit(outbox.audit_log) is
  'Tells of a circuit that opened or closed, of a destination that was disabled or enabled, and ends all alerts of one that was deleted. Returns how many were told.';
