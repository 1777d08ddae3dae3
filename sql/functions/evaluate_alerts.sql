create or replace function outbox.evaluate_audit(entry_cursor outbox.alert_cursor, max integer, out told integer, out seen bigint[])
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry outbox.audit_log;
begin
  told := 0;
  seen := '{}';
  for v_entry in
    select *
    from outbox.audit_log as l
    where l.id > entry_cursor.audit_id
    and l.id <> all (entry_cursor.seen_audit_ids)
    and l.action in ('open_circuit', 'close_circuit', 'disable_destination', 'enable_destination', 'delete_destination')
    and l.destination_id is not null
    order by l.id
    limit evaluate_audit.max
  loop
    told := told + outbox.alert_from_audit(v_entry);
    seen := seen || v_entry.id;
  end loop;
end
$$;
revoke all on function outbox.evaluate_audit(outbox.alert_cursor, integer) from public;
comment on function outbox.evaluate_audit(outbox.alert_cursor, integer) is
  'Tells what the audit log says since the cursor, in its order and each entry once. Returns how many were told, and the entries that were looked at.';

create or replace function outbox.move_alert_cursor(settled boolean) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.alert_cursor as c
  set audit_id = c.next_audit_id, at = c.next_at, next_audit_id = null, next_at = null, next_xid = null,
    seen_audit_ids = array(select i from unnest(c.seen_audit_ids) as i where i > c.next_audit_id)
  where settled;

  update outbox.alert_cursor as c
  set next_at = greatest(c.at, now() - interval '10 seconds'), next_xid = pg_current_xact_id(),
    next_audit_id = coalesce(
      (select l.id - 1 from outbox.audit_log as l where l.id > c.audit_id and l.at > now() - interval '10 seconds' order by l.id limit 1),
      (select max(l.id) from outbox.audit_log as l),
      c.audit_id)
  where c.next_xid is null
$$;
revoke all on function outbox.move_alert_cursor(boolean) from public;
comment on function outbox.move_alert_cursor(boolean) is
  'Moves the cursor to where it was to move, if every transaction that could still add something before that has ended (settled), and chooses where it moves next: ten seconds behind, for transactions that have begun and written nothing yet.';

create or replace function outbox.evaluate_alerts(max integer default 1000, slow_every interval default '30 seconds') returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_cursor outbox.alert_cursor;
  v_settled boolean;
  v_audit record;
  v_told integer;
begin
  if not pg_try_advisory_xact_lock(hashtext('outbox.evaluate_alerts')) then
    return 0;
  end if;
  select * into v_cursor from outbox.alert_cursor;
  v_settled := coalesce(v_cursor.next_xid <= pg_snapshot_xmin(pg_current_snapshot()), false);

  v_audit := outbox.evaluate_audit(v_cursor, max);
  v_told := v_audit.told + outbox.evaluate_streaks(v_cursor.at, max) + outbox.evaluate_dead_letters(v_cursor.at, max);
  update outbox.alert_cursor as c set seen_audit_ids = c.seen_audit_ids || v_audit.seen where v_audit.seen <> '{}';
  if greatest(v_told, cardinality(v_audit.seen)) < max then
    perform outbox.move_alert_cursor(v_settled);
  end if;

  if v_cursor.slow_checks_at <= now() - slow_every then
    v_told := v_told + outbox.evaluate_rates(max) + outbox.evaluate_backlogs(max) + outbox.evaluate_secrets(max)
      + outbox.resolve_dead_letters(max);
    delete from outbox.alerts as a where a.resolved_at < now() - interval '90 days';
    update outbox.alert_cursor set slow_checks_at = now();
  end if;
  return v_told;
end
$$;
revoke all on function outbox.evaluate_alerts(integer, interval) from public;
comment on function outbox.evaluate_alerts(integer, interval) is
  'Looks for what somebody should know and tells it: a row of outbox.alerts and an event postrider.alert.<kind>. Any number of workers may call it, one looks at a time. Looks only at what changed since the last time, and by slow_every at what costs more: rates, backlogs, secrets, and whether dead letters are gone. Returns how many were told; max bounds each kind, the rest follows at the next call.';
