-- The net under everything: what should have happened and did not, found by looking at each event once.

create or replace function outbox.wake_forgotten(first uuid, last uuid, max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_live constant timestamptz[] := array(
    select distinct j.created_at
    from graphile_worker.jobs as j
    where starts_with(j.task_identifier, 'outbox_deliver')
    and j.attempts < j.max_attempts
    and (j.locked_at is null or j.locked_at > now() - interval '1 minute')
  );
  v_event_ids uuid[];
  v_subscription_ids uuid[];
begin
  select
    array_agg(f.event_id order by f.destination_id, f.seq),
    array_agg(f.subscription_id order by f.destination_id, f.seq)
  into v_event_ids, v_subscription_ids
  from (
    select d.event_id, d.subscription_id, d.destination_id, d.seq
    from outbox.deliveries as d
    where d.event_id >= wake_forgotten.first
    and d.event_id < wake_forgotten.last
    and d.status = 'pending'
    and d.next_attempt_at is null
    and (d.claimed_by is null or not outbox.is_live(d.claimed_by))
    and d.created_at <> all (v_live)
    limit wake_forgotten.max
  ) as f;
  if v_event_ids is null then
    return 0;
  end if;
  update outbox.deliveries as d
  set next_attempt_at = now(), job_at = now()
  from unnest(v_event_ids, v_subscription_ids) as k (event_id, subscription_id)
  where d.event_id = k.event_id
  and d.subscription_id = k.subscription_id
  and d.event_id >= wake_forgotten.first
  and d.event_id < wake_forgotten.last
  and d.status = 'pending';
  perform outbox.wake(v_event_ids, v_subscription_ids);
  return cardinality(v_event_ids);
end
$$;
revoke all on function outbox.wake_forgotten(uuid, uuid, integer) from public;
comment on function outbox.wake_forgotten(uuid, uuid, integer) is
  'Gives new jobs to deliveries that wait for their first attempt while no job of their transaction is left (a delivery and its job share created_at). A job that is locked for longer than a minute does not count: if the answer to a fetch was lost, its pool does not know that it holds it. Returns how many.';

create or replace function outbox.reconcile(max integer default 10000) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_instance outbox.instance;
  v_settled constant uuid := outbox.uuid_at(now() - interval '30 seconds');
  v_frontier uuid;
  v_mended integer;
begin
  select * into v_instance from outbox.instance for update skip locked;
  if not found then
    return 0;
  end if;
  v_mended := outbox.wake_forgotten(v_instance.frontier, v_settled, max) + outbox.tend_lanes();

  if v_instance.next_frontier_xid <= pg_snapshot_xmin(pg_current_snapshot()) then
    v_mended := v_mended + coalesce((
      select outbox.fan_out_events(array_agg(e.id), lost_only => true)
      from outbox.events as e
      where e.id >= v_instance.frontier
      and e.id < v_instance.next_frontier
      and not exists (select from outbox.deliveries as d where d.event_id = e.id)
    ), 0);
    select coalesce(min(d.event_id::text)::uuid, v_instance.next_frontier)
    into v_frontier
    from outbox.deliveries as d
    where d.event_id >= v_instance.frontier
    and d.event_id < v_instance.next_frontier
    and d.status = 'pending'
    and d.next_attempt_at is null;
    update outbox.instance set frontier = v_frontier, next_frontier = null, next_frontier_xid = null;
  elsif v_instance.next_frontier is null then
    update outbox.instance
    set next_frontier = v_settled, next_frontier_xid = pg_current_xact_id();
  end if;
  return v_mended;
end
$$;
revoke all on function outbox.reconcile(integer) from public;
comment on function outbox.reconcile(integer) is
  'Finds deliveries without a live job, lanes that stand still, and committed events that no trigger has fanned out (replication role, restore), and puts them to work. Moves the frontier over what is settled: every transaction that could still add to it has ended. Returns how many deliveries were mended.';
