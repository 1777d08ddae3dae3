create or replace function outbox.is_of_this_transaction(inserted_by xid) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_epoch constant bigint := 4294967296;
  v_own   constant bigint := pg_current_xact_id()::text::bigint;
  v_ahead constant bigint := ((inserted_by::text::bigint - v_own) % c_epoch + c_epoch) % c_epoch;
begin
  return v_ahead < c_epoch / 2 and pg_xact_status((v_own + v_ahead)::text::xid8) = 'in progress';
end
$$;
revoke all on function outbox.is_of_this_transaction(xid) from public;
comment on function outbox.is_of_this_transaction(xid) is
  'Whether a row that is seen was inserted by this transaction or a savepoint of it (given its xmin): nobody else''s row is seen while its transaction is in progress.';

create or replace function outbox.cancel_own(event_id uuid default null, topic text default null, key text default null)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_event_ids uuid[];
  v_cancelled integer;
begin
  if coalesce(cancel_own.event_id::text, cancel_own.topic, cancel_own.key) is null then
    perform outbox.refuse_input('cancel_own', 'nothing was chosen', 'Name the event_id, topic or key of what this transaction inserted.');
  end if;
  select coalesce(array_agg(e.id), '{}') into v_event_ids
  from outbox.events as e
  where e.id >= coalesce(cancel_own.event_id, outbox.uuid_at(now()))
  and (cancel_own.event_id is null or e.id = cancel_own.event_id)
  and (cancel_own.topic is null or e.topic = cancel_own.topic)
  and (cancel_own.key is null or e.key = cancel_own.key)
  and e.created_at = now()
  and outbox.is_of_this_transaction(e.xmin);
  perform outbox.fan_out_deferred_among(v_event_ids);
  update outbox.deliveries as d
  set status = 'cancelled', error_code = 'cancelled', finished_at = now(), next_attempt_at = null, job_at = null,
    held_at = null, held_reason = null
  where d.event_id = any (v_event_ids)
  and d.status in ('pending', 'held');
  get diagnostics v_cancelled = row_count;
  return v_cancelled;
end
$$;
revoke all on function outbox.cancel_own(uuid, text, text) from public;
comment on function outbox.cancel_own(uuid, text, text) is
  'A producer takes back what it inserted earlier in the same transaction, by id, topic or key: nothing of it is sent. Returns how many deliveries were cancelled. What others inserted, or an earlier transaction, is not touched.';
