-- The audit log grows, and only its far end can be cut off: updating and truncating are refused in check_destinations.sql.

create or replace function outbox.audit_log_kept() returns interval
  language sql immutable parallel safe
  return interval '90 days';
revoke all on function outbox.audit_log_kept() from public;
comment on function outbox.audit_log_kept() is 'Rows of outbox.audit_log that are younger cannot be deleted, whoever asks.';

create or replace function outbox.tg_audit_log__refuse_delete() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if OLD.at > now() - outbox.audit_log_kept() then
    raise exception 'audit_log: is append-only; rows are kept for % at least', outbox.audit_log_kept()
      using errcode = 'PR001', hint = 'select outbox.prune_audit_log(interval ''1 year'');';
  end if;
  return OLD;
end
$$;
revoke all on function outbox.tg_audit_log__refuse_delete() from public;
comment on function outbox.tg_audit_log__refuse_delete() is 'Lets only old rows be deleted.';

create or replace trigger _200_refuse_delete
  before delete on outbox.audit_log
  for each row execute function outbox.tg_audit_log__refuse_delete();
comment on trigger _200_refuse_delete on outbox.audit_log is 'Nobody takes back what was done lately.';

create or replace function outbox.prune_audit_log(retention interval, actor text default null) returns bigint
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_deleted bigint;
begin
  if retention is null or retention < outbox.audit_log_kept() then
    raise exception 'retention: must be at least %, not %', outbox.audit_log_kept(), retention
      using errcode = 'PR001', hint = 'A year is usual: select outbox.prune_audit_log(interval ''1 year'');';
  end if;
  delete from outbox.audit_log as l where l.at < now() - retention;
  get diagnostics v_deleted = row_count;
  perform outbox.audit('prune_audit_log', actor, detail => jsonb_build_object('retention', retention, 'deleted', v_deleted));
  return v_deleted;
end
$$;
revoke all on function outbox.prune_audit_log(interval, text) from public;
comment on function outbox.prune_audit_log(interval, text) is
  'The owner''s way to shorten the audit log: deletes what is older than the retention, notes that it did, and returns how many rows. Granted to no role.';
