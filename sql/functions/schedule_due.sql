create or replace function outbox.schedule_due(max integer default 10000) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_scheduled integer;
begin
  if not pg_try_advisory_xact_lock(hashtext('outbox.schedule_due')) then
    return 0;
  end if;
  with due as (
    select d.event_id, d.subscription_id
    from outbox.deliveries as d
    where d.next_attempt_at < now() + interval '1 minute'
    and (d.job_at is null or greatest(d.job_at, d.next_attempt_at) < now() - interval '1 minute')
    and (d.claimed_by is null or not outbox.is_live(d.claimed_by))
    and (d.job_at is null or not (select outbox.jobs_are_behind()))
    order by d.next_attempt_at
    limit schedule_due.max
    for update skip locked
  ), marked as (
    update outbox.deliveries as d
    set job_at = now()
    from due
    where d.event_id = due.event_id
    and d.subscription_id = due.subscription_id
    returning d.event_id, d.subscription_id, d.destination_id, greatest(d.next_attempt_at, now()) as next_attempt_at
  ), grouped as (
    select
      max(m.next_attempt_at) as due,
      array_agg(m.event_id order by m.destination_id, m.next_attempt_at) as event_ids,
      array_agg(m.subscription_id order by m.destination_id, m.next_attempt_at) as subscription_ids
    from marked as m
    group by date_bin('200 milliseconds', m.next_attempt_at, timestamptz 'epoch')
  ), woken as (
    select cardinality(g.event_ids) as deliveries, outbox.wake(g.event_ids, g.subscription_ids, g.due) from grouped as g
  )
  select coalesce(sum(w.deliveries), 0) into v_scheduled from woken as w;
  return v_scheduled;
end
$$;
revoke all on function outbox.schedule_due(integer) from public;
comment on function outbox.schedule_due(integer) is
  'Gives jobs to deliveries whose next attempt is due within a minute, and new ones to those whose job has vanished. Those of the same 200 milliseconds share jobs, which run at the last of them. Retries further away are only rows. Returns how many were given one.';

create or replace function outbox.jobs_are_behind() returns boolean
  language sql stable
as $$
  select exists (
    select from graphile_worker.jobs as j
    where starts_with(j.task_identifier, 'outbox_deliver')
    and j.run_at < now() - interval '20 seconds'
    and j.attempts < j.max_attempts
    and j.locked_at is null
  )
$$;
revoke all on function outbox.jobs_are_behind() from public;
comment on function outbox.jobs_are_behind() is
  'Whether jobs wait for longer than 20 seconds. Then a delivery without an answer is most likely just waiting its turn, and a second job would only add to the queue.';
