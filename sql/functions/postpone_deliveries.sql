create or replace function outbox.postpone_deliveries(event_ids uuid[], subscription_ids uuid[], delays_ms integer[]) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_priority constant integer := 1001;
  v_postponed integer;
begin
  with due as (
    select k.event_id, k.subscription_id, now() + make_interval(secs => k.delay_ms / 1000.0) as at, k.n
    from unnest(
      postpone_deliveries.event_ids, postpone_deliveries.subscription_ids, postpone_deliveries.delays_ms
    ) with ordinality as k (event_id, subscription_id, delay_ms, n)
  ), open as (
    select d.event_id, d.subscription_id, k.at, k.n
    from due as k
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    where d.status = 'pending'
    and d.claimed_by is null
    and (d.next_attempt_at is null or d.next_attempt_at < k.at)
    for update of d skip locked
  ), postponed as (
    update outbox.deliveries as d
    set next_attempt_at = o.at, job_at = case when o.at < now() + interval '1 minute' then now() end
    from open as o
    where d.event_id = o.event_id
    and d.subscription_id = o.subscription_id
    returning d.event_id, d.subscription_id, d.next_attempt_at, d.job_at, o.n
  ), woken as (
    select outbox.wake(
      array_agg(p.event_id order by p.n), array_agg(p.subscription_id order by p.n), max(p.next_attempt_at), v_priority)
    from postponed as p
    where p.job_at is not null
    group by date_trunc('second', p.next_attempt_at)
  )
  select (select count(*) from postponed) into v_postponed from (select count(*) from woken) as w;
  return v_postponed;
end
$$;
revoke all on function outbox.postpone_deliveries(uuid[], uuid[], integer[]) from public;
comment on function outbox.postpone_deliveries(uuid[], uuid[], integer[]) is
  'A worker leaves deliveries that it has not claimed to a later time, because their destination is so slow that they would keep its jobs from the others. No attempt is used up. Each comes back after its own delay, at the pace of the destination, with a lower priority than all first attempts. Those that are claimed, finished or locked by somebody are left alone. Returns how many were postponed.';
