-- Giving deliveries a job. Jobs are wake-ups: one may be lost or doubled without harm, the claim decides.

create or replace function outbox.pg_notify(channel text, payload text) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_try_advisory_xact_lock(hashtext('outbox.pg_notify'), floor(extract(epoch from now()) * 10 % 2147483647)::integer) then
    perform pg_catalog.pg_notify(channel, payload);
  end if;
end
$$;
revoke all on function outbox.pg_notify(text, text) from public;
comment on function outbox.pg_notify(text, text) is
  'Stands before pg_catalog.pg_notify on the search_path of outbox.wake. NOTIFY makes commits queue up behind a cluster-wide lock, so of the transactions that began in the same tenth of a second only one at a time notifies (one that stays open for long keeps no later ones from it); workers poll for the jobs of the others.';

create or replace function outbox.woken_before(deliveries integer) returns integer
  language plpgsql
as $$
declare
  v_before constant integer := coalesce(substring(current_setting('outbox.woken', true) from '^[0-9]{1,8}$'), '0');
begin
  perform set_config('outbox.woken', least(v_before + deliveries, 10000000)::text, true);
  return v_before;
end
$$;
revoke all on function outbox.woken_before(integer) from public;
comment on function outbox.woken_before(integer) is
  'How many deliveries this transaction has woken before, and counts these as well. A setting keeps the number: it ends with the transaction, and goes back with a savepoint.';

create or replace function outbox.wake(
  event_ids uuid[], subscription_ids uuid[], run_at timestamptz default null, priority integer default null) returns void
  language plpgsql
  set search_path = outbox, pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_jobs_max_deliveries constant integer := 100;
  v_woken constant integer := case when wake.run_at is null and wake.priority is null then outbox.woken_before(cardinality(event_ids)) else 0 end;
  v_priority constant integer := coalesce(wake.priority, case when wake.run_at is null then 0 else 1 end);
  v_jobs graphile_worker.job_spec[];
begin
  if cardinality(event_ids) = 1 then
    v_jobs := array[outbox.deliver_job(
      json_build_object(subscription_ids[1], event_ids), run_at, v_priority + least(v_woken / v_jobs_max_deliveries, 1000))];
  else
    select array_agg(
      outbox.deliver_job(j.deliveries, wake.run_at, v_priority + least(j.chunk + v_woken / v_jobs_max_deliveries, 1000)) order by j.chunk)
    into v_jobs
    from (
      select g.chunk, json_object_agg(g.subscription_id, g.event_ids) as deliveries
      from (
        select ((k.n - 1) / v_jobs_max_deliveries)::integer as chunk, k.subscription_id, json_agg(k.event_id order by k.n) as event_ids
        from unnest(wake.event_ids, wake.subscription_ids) with ordinality as k (event_id, subscription_id, n)
        group by 1, 2
      ) as g
      group by g.chunk
    ) as j;
  end if;
  perform graphile_worker.add_jobs(v_jobs);
end
$$;
revoke all on function outbox.wake(uuid[], uuid[], timestamptz, integer) from public;
comment on function outbox.wake(uuid[], uuid[], timestamptz, integer) is
  'Gives the deliveries jobs of up to 100 each, in the order given, with one call of add_jobs. Priority 0 is for first attempts, 1 for what waits for a time (retries), and each further job of a transaction is of lower priority (a higher number), so that a flood does not stand before others'' single events; outbox.raise_old_jobs keeps the low ones from waiting for ever. Plans are forced to be generic and to use indexes: one made while the job table was empty costs 14 ms a call once 100,000 jobs wait.';

create or replace function outbox.deliver_job(deliveries json, run_at timestamptz, priority integer) returns graphile_worker.job_spec
  language sql immutable
as $$
  select row(
    'outbox_deliver', json_build_object('v', 1, 'deliveries', deliveries), null, run_at, null, null, priority, null
  )::graphile_worker.job_spec
$$;
revoke all on function outbox.deliver_job(json, timestamptz, integer) from public;
comment on function outbox.deliver_job(json, timestamptz, integer) is
  'The job of task outbox_deliver: {"v": 1, "deliveries": {subscription id: [event ids]}}. A later v, which older workers cannot read, gets the task outbox_deliver_v2 and so on: they leave it alone.';
