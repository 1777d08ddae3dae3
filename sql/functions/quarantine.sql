-- A delivery that takes its workers down with it. Whatever was in flight beside it looks just as guilty: suspects are
-- tried one at a time, and the third worker in a row tells.

create or replace function outbox.worker_deaths(event_id uuid, subscription_id uuid) returns integer
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select count(*)::integer
  from outbox.attempts as a
  where a.event_id = worker_deaths.event_id
  and a.subscription_id = worker_deaths.subscription_id
  and not a.late
  and a.number > coalesce((
    select max(b.number)
    from outbox.attempts as b
    where b.event_id = worker_deaths.event_id
    and b.subscription_id = worker_deaths.subscription_id
    and not b.late
    and b.code is distinct from 'worker_lost'
  ), 0)
$$;
revoke all on function outbox.worker_deaths(uuid, uuid) from public;
comment on function outbox.worker_deaths(uuid, uuid) is
  'How many workers in a row were lost while they had this delivery in flight. Any attempt with an answer, and a quarantine, begins the count anew.';

create or replace function outbox.quarantine(event_ids uuid[], subscription_ids uuid[]) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_suspected_from constant integer := 2;
  v_dead_from constant integer := 3;
  v_poison record;
  v_quarantined integer := 0;
begin
  for v_poison in
    update outbox.deliveries as d
    set status = 'dead', dead_at = now(), finished_at = now(), next_attempt_at = null, job_at = null
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    where d.event_id = k.event_id
    and d.subscription_id = k.subscription_id
    and d.status = 'pending'
    and d.claimed_by is null
    and d.error_code = 'poison'
    and outbox.worker_deaths(d.event_id, d.subscription_id) >= v_dead_from
    returning d.event_id, d.subscription_id, d.attempt_count, d.tenant_id, d.destination_id
  loop
    update outbox.attempts as a
    set outcome = 'dead', code = 'poison',
      error = format('The worker was lost over it, the %s. in a row: it is not tried again until somebody redrives it.', v_dead_from)
    where a.event_id = v_poison.event_id
    and a.subscription_id = v_poison.subscription_id
    and a.number = v_poison.attempt_count
    and not a.late;
    perform outbox.audit('quarantine', 'postrider', v_poison.tenant_id, v_poison.destination_id, jsonb_build_object(
      'event_id', v_poison.event_id, 'subscription_id', v_poison.subscription_id, 'workers_lost', v_dead_from));
    perform outbox.leave_lanes(array[v_poison.event_id], array[v_poison.subscription_id]);
    v_quarantined := v_quarantined + 1;
  end loop;

  update outbox.deliveries as d
  set error_code = 'poison'
  from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
  where d.event_id = k.event_id
  and d.subscription_id = k.subscription_id
  and d.status = 'pending'
  and d.claimed_by is null
  and d.error_code = 'worker_lost'
  and outbox.worker_deaths(d.event_id, d.subscription_id) >= v_suspected_from;
  return v_quarantined;
end
$$;
revoke all on function outbox.quarantine(uuid[], uuid[]) from public;
comment on function outbox.quarantine(uuid[], uuid[]) is
  'Looks at deliveries whose worker was just found lost. After two deaths in a row a delivery is a suspect: pending, with the error_code poison, which it keeps until it has an answer, also over a redrive. A suspect with three deaths is put into quarantine: dead, its last attempt says why, and outbox.audit_log has it. Returns how many were.';

create or replace function outbox.claim_suspect(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns table (
    event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer,
    tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamptz, lane_seq bigint)
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_suspects outbox.deliveries[];
  v_is_free boolean;
  v_delay interval;
  v_first integer := 1;
begin
  select array_agg(s order by s.seq, s.subscription_id) into v_suspects
  from (
    select d.*
    from unnest(event_ids, subscription_ids) as k (event_id, subscription_id)
    join outbox.deliveries as d on d.event_id = k.event_id and d.subscription_id = k.subscription_id
    where d.status = 'pending'
    and d.claimed_by is null
    and d.error_code = 'poison'
    and (d.next_attempt_at is null or d.next_attempt_at <= now())
    for update of d skip locked
  ) as s;
  if v_suspects is null then
    return;
  end if;

  select not exists (
    select from outbox.deliveries as d
    where d.event_id = w.suspect_event_id
    and d.subscription_id = w.suspect_subscription_id
    and d.claimed_by = w.id
  ) into v_is_free
  from outbox.workers as w
  where w.id = claim_suspect.worker_id
  for no key update;
  if v_is_free then
    update outbox.workers as w
    set suspect_event_id = v_suspects[1].event_id, suspect_subscription_id = v_suspects[1].subscription_id
    where w.id = claim_suspect.worker_id;
    -- Limits and claims leave suspects out: for the length of this one it is none.
    update outbox.deliveries as d
    set error_code = 'worker_lost'
    where d.event_id = v_suspects[1].event_id
    and d.subscription_id = v_suspects[1].subscription_id;
    return query
    select c.*
    from outbox.admit_deliveries(array[v_suspects[1].event_id], array[v_suspects[1].subscription_id]) as a
    cross join lateral outbox.claim_deliveries(claim_suspect.worker_id, a.event_ids, a.subscription_ids) as c;
    update outbox.deliveries as d
    set error_code = 'poison'
    where d.event_id = v_suspects[1].event_id
    and d.subscription_id = v_suspects[1].subscription_id;
    v_first := 2;
  end if;

  for n in v_first .. cardinality(v_suspects) loop
    v_delay := random() * least((now() - v_suspects[n].last_attempt_at) / 4, interval '1 minute')
      + (n - v_first) * interval '100 ms';
    update outbox.deliveries as d
    set next_attempt_at = now() + v_delay, job_at = now()
    where d.event_id = v_suspects[n].event_id
    and d.subscription_id = v_suspects[n].subscription_id;
    perform outbox.wake(array[v_suspects[n].event_id], array[v_suspects[n].subscription_id], now() + v_delay);
  end loop;
end
$$;
revoke all on function outbox.claim_suspect(uuid, uuid[], uuid[]) from public;
comment on function outbox.claim_suspect(uuid, uuid[], uuid[]) is
  'Claims the first of the suspects among these deliveries, unless the worker holds one already, and wakes the others later, each by a job of its own: the longer they have waited, the more rarely, once a minute at the most. What else the worker has in flight may be lost with it, but is no suspect yet.';
