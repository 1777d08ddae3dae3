-- Who is alive, and what becomes of the work of those who are not.

create or replace function outbox.register_worker(worker_id uuid, pool_id text, hostname text, pid integer, version text) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.require_same_instance();
  insert into outbox.workers (id, pool_id, hostname, pid, version)
  values (worker_id, pool_id, hostname, pid, version);
end
$$;
revoke all on function outbox.register_worker(uuid, text, text, integer, text) from public;
comment on function outbox.register_worker(uuid, text, text, integer, text) is
  'A worker enters its name. Refused in a restored copy of a database until outbox.confirm_instance() is called.';

create or replace function outbox.heartbeat(worker_id uuid, clock timestamptz default null) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  update outbox.workers as w
  set heartbeat_at = now(),
    clock_ahead_ms = greatest(least(extract(epoch from heartbeat.clock - clock_timestamp()) * 1000, 1e9), -1e9)
  where w.id = worker_id
  and w.heartbeat_at > now() - outbox.worker_lease();
  return found;
end
$$;
revoke all on function outbox.heartbeat(uuid, timestamptz) from public;
comment on function outbox.heartbeat(uuid, timestamptz) is
  'The worker lives, and says what time it has. False: it was silent for longer than the lease and has been given up; it must register under a new id.';

create or replace function outbox.leave_worker(worker_id uuid) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform graphile_worker.force_unlock_workers(array_agg(w.pool_id)) from outbox.workers as w where w.id = worker_id;
  delete from outbox.workers as w where w.id = worker_id;
end
$$;
revoke all on function outbox.leave_worker(uuid) from public;
comment on function outbox.leave_worker(uuid) is 'A worker that stops takes its name out and frees whatever its pool still holds.';

create or replace function outbox.sweep_workers() returns setof uuid
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_lost uuid[];
begin
  with lost as (
    delete from outbox.workers as w
    where w.id in (
      select l.id from outbox.workers as l
      where l.heartbeat_at < now() - outbox.worker_lease()
      for update skip locked
    )
    returning w.id, w.pool_id
  ), freed as (
    select graphile_worker.force_unlock_workers(array_agg(l.pool_id)) from lost as l having count(*) > 0
  )
  select array_agg(l.id) into v_lost from lost as l left join freed on true;
  if v_lost is not null then
    perform outbox.wake_followers(v_lost);
  end if;
  return query select unnest(v_lost);
end
$$;
revoke all on function outbox.sweep_workers() from public;
comment on function outbox.sweep_workers() is
  'Gives up workers without a heartbeat and frees their jobs, which graphile-worker would do after 4 hours. Their claims are taken over when the jobs run again.';

create or replace function outbox.unclaim_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  update outbox.deliveries as d
  set claimed_by = null, attempt_count = d.attempt_count - 1,
    last_attempt_at = case when d.attempt_count > 1 then d.last_attempt_at end
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  where d.event_id = k.event_id
  and d.subscription_id = k.subscription_id
  and d.claimed_by = unclaim_deliveries.worker_id;
  perform outbox.free_slots(event_ids, subscription_ids);
  perform outbox.settle_lanes(event_ids, subscription_ids);
  perform outbox.wake(array_agg(d.event_id), array_agg(d.subscription_id))
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
  where d.lane_seq is null
  having count(*) > 0;
end
$$;
revoke all on function outbox.unclaim_deliveries(uuid, uuid[], uuid[]) from public;
comment on function outbox.unclaim_deliveries(uuid, uuid[], uuid[]) is
  'Gives back deliveries that nothing was sent for (a claim whose answer was lost, a worker that stops): no attempt is used up, and they are woken again, or held where others of their lane go first.';

create or replace function outbox.change_pool(worker_id uuid, pool_id text) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform graphile_worker.force_unlock_workers(array[w.pool_id]) from outbox.workers as w where w.id = worker_id;
  update outbox.workers as w
  set pool_id = change_pool.pool_id, heartbeat_at = now()
  where w.id = worker_id;
  return found;
end
$$;
revoke all on function outbox.change_pool(uuid, text) from public;
comment on function outbox.change_pool(uuid, text) is
  'A worker whose pool of jobs broke goes on with a new one: the jobs of the old pool are freed at once, what the worker is sending stays claimed. False: the worker has been given up.';
