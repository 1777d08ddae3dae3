-- How replays and start positions move: in small steps, each one transaction with the place that it has come to.

create or replace function outbox.replay_candidates(replay outbox.replays, max integer)
  returns table (event_id uuid, fate text)
  language sql stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select
    scanned.id,
    case
      when not (
        s.tenant_id in (e.tenant_id, '*')
        and coalesce(replay.topics, s.topics) && outbox.topic_candidates(e.topic)
        and outbox.filter_matches(e.payload::jsonb, case when replay.filter is null then s.filter_path else replay.filter_path end)
      ) then null
      when e.expires_at <= now() then case when replay.repeats then 'leave' end
      when d.event_id is null then 'make'
      when not replay.repeats then null
      when d.status in ('delivered', 'dead') and d.finished_at < replay.created_at and outbox.is_redriven_out(d.redrive_count, s.destination_id) is not true then 'repeat'
      else 'leave'
    end
  from (
    select i.id from outbox.events as i
    where i.id > replay.after_event_id and i.id < replay.until_event_id
    order by i.id
    limit replay_candidates.max
  ) as scanned
  cross join lateral (select * from outbox.events as v where v.id = scanned.id offset 0) as e
  cross join (
    select n.tenant_id, n.destination_id, n.topics, n.filter_path
    from outbox.subscriptions as n
    where n.id = replay.subscription_id
    offset 0
  ) as s
  left join lateral (
    select * from outbox.deliveries as v where v.event_id = scanned.id and v.subscription_id = replay.subscription_id offset 0
  ) as d on true
$$;
revoke all on function outbox.replay_candidates(outbox.replays, integer) from public;
comment on function outbox.replay_candidates(outbox.replays, integer) is
  'The next events of the run, at most max, and the fate of each: its delivery is to be made, to be repeated, or left alone (as one that has expired is); null for one that does not match (or, for a start position, is delivered already). Each row is looked up by its key: joined, a partition without statistics was read whole for each event.';

create or replace function outbox.replay_obstacle(replay outbox.replays) returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
declare
  v_unfinished_max constant integer := 1000;
  v_obstacle text;
begin
  select case when t.disabled_at is not null then 'the destination is disabled' when not s.enabled then 'the subscription is not enabled' end
  into v_obstacle
  from outbox.subscriptions as s
  join outbox.destinations as t on t.id = s.destination_id
  where s.id = replay.subscription_id;
  if v_obstacle is null then
    select 'the destination holds back: ' || h.reason into v_obstacle from outbox.holds as h where h.destination_id = replay.destination_id;
  end if;
  if v_obstacle is null and (
    select count(*) >= v_unfinished_max
    from (
      select d.status, d.next_attempt_at
      from outbox.deliveries as d
      where d.replay_id = replay.id
      and d.event_id <= replay.after_event_id
      order by d.event_id desc
      limit 2 * v_unfinished_max
    ) as latest
    where latest.status = 'pending'
    and latest.next_attempt_at <= now()
  ) then
    v_obstacle := 'the destination has not taken what was put to work';
  end if;
  return v_obstacle;
end
$$;
revoke all on function outbox.replay_obstacle(outbox.replays) from public;
comment on function outbox.replay_obstacle(outbox.replays) is
  'Why the run must not put more to work now: the destination is disabled or holds back, or 1,000 of the run''s latest 2,000 deliveries are due and not done. Null: it may.';

create or replace function outbox.advance_replay(replay outbox.replays) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
declare
  -- Behind the live events (0) and the further jobs of a flood (up to 1,000).
  v_priority constant integer := 2000;
  v_step_max constant integer := 1000;
  v_now constant timestamptz := clock_timestamp();
  v_allowance constant numeric := least(
    replay.allowance + replay.rate * extract(epoch from v_now - replay.advanced_at), greatest(replay.rate / 4, 1));
  v_left constant bigint := replay.max_deliveries - replay.repeated - replay.made;
  v_ordered constant boolean := (select s.ordered from outbox.subscriptions as s where s.id = replay.subscription_id);
  v_take constant integer := least(floor(v_allowance), v_step_max, v_left);
  v_scan constant integer := least(greatest(2 * v_take, 100), v_step_max);
  v_looked_at integer;
  v_last uuid;
  v_left_alone integer;
  v_make uuid[];
  v_repeat uuid[];
  v_heads outbox.deliveries[];
  v_repeated integer;
  v_made integer;
  v_event_ids uuid[];
begin
  if v_take < 1 then
    update outbox.replays as r set due_at = v_now + make_interval(secs => (1 / r.rate)::double precision) where r.id = replay.id;
    return;
  end if;

  select
    count(*), outbox.greatest_of(array_agg(t.event_id)), count(*) filter (where t.fate = 'leave'),
    array_agg(t.event_id) filter (where t.fate = 'make'), array_agg(t.event_id) filter (where t.fate = 'repeat')
  into v_looked_at, v_last, v_left_alone, v_make, v_repeat
  from (
    select c.event_id, c.fate, count(*) filter (where c.fate in ('make', 'repeat')) over (order by c.event_id) as n
    from outbox.replay_candidates(replay, v_scan) as c
  ) as t
  where t.n <= v_take;

  if v_ordered then
    v_heads := array(
      select d from outbox.deliveries as d
      where d.event_id = any (v_repeat)
      and d.event_id > replay.after_event_id and d.event_id <= v_last
      and d.subscription_id = replay.subscription_id
      and coalesce(d.lane_seq, 0) > 0
    );
  end if;
  with made as (
    insert into outbox.deliveries
      (event_id, subscription_id, destination_id, tenant_id, seq, key, next_attempt_at, job_at, redriven_by, replay_id,
        expires_at, counted_from, lane_seq)
    select
      e.id, replay.subscription_id, replay.destination_id, e.tenant_id, e.seq, e.key, greatest(e.deliver_after, now()),
      case when e.deliver_after > now() then null else now() end, replay.actor, replay.id,
      e.expires_at, nullif(greatest(e.deliver_after, now()), now()), case when v_ordered and e.key is not null then e.seq end
    from outbox.events as e
    where e.id = any (v_make)
    and e.id > replay.after_event_id and e.id <= v_last
    order by e.id
    on conflict do nothing
    returning event_id, seq, job_at
  ), repeated as (
    update outbox.deliveries as d
    set status = 'pending', next_attempt_at = now(), job_at = now(), counted_from = now(), finished_at = null, dead_at = null,
      failure_count = 0, redriven_by = replay.actor, replay_id = replay.id, redrive_count = coalesce(d.redrive_count, 0) + 1
    where d.event_id = any (v_repeat)
    and d.event_id > replay.after_event_id and d.event_id <= v_last
    and d.subscription_id = replay.subscription_id
    and d.status in ('delivered', 'dead')
    and d.finished_at < replay.created_at
    returning d.event_id, d.seq, d.job_at
  )
  select
    (select count(*) from repeated), (select count(*) from made),
    (select array_agg(w.event_id order by w.seq) from (select * from made union all select * from repeated) as w where w.job_at is not null)
  into v_repeated, v_made, v_event_ids;

  perform outbox.resume_lanes(v_heads);
  if v_event_ids is not null then
    perform outbox.wake(
      v_event_ids, array_fill(replay.subscription_id, array[cardinality(v_event_ids)]), priority => v_priority);
  end if;
  update outbox.replays as r
  set after_event_id = coalesce(v_last, r.after_event_id), looked_at = r.looked_at + v_looked_at, made = r.made + v_made,
    repeated = r.repeated + v_repeated, left_alone = r.left_alone + v_left_alone, waits_for = null,
    allowance = v_allowance - v_made - v_repeated, advanced_at = v_now,
    due_at = case
      when v_allowance - v_made - v_repeated >= 1 then v_now
      else v_now + make_interval(secs => greatest(0.1, (1 - v_allowance + v_made + v_repeated) / r.rate)::double precision)
    end
  where r.id = replay.id;

  if v_left <= v_made + v_repeated then
    perform outbox.finish_replay(replay.id, 'done');
  elsif v_looked_at = 0 then
    perform outbox.end_of_range(replay);
  end if;
end
$$;
revoke all on function outbox.advance_replay(outbox.replays) from public;
comment on function outbox.advance_replay(outbox.replays) is
  'One step of a run: the next events get their deliveries, with jobs behind all others, as many as the rate allows, at most a quarter of a second''s worth. Where it stands is written in the same transaction, so a lost worker leaves nothing half done. What an ordered subscription never got goes into its lane, what was delivered is out of it; a dead one that is repeated goes on at the head of its lane.';

create or replace function outbox.finish_replay(replay_id bigint, status text) returns void
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.replays as r
  set status = finish_replay.status, finished_at = now(), waits_for = null, created_xid = null, barrier_xid = null
  where r.id = finish_replay.replay_id
$$;
revoke all on function outbox.finish_replay(bigint, text) from public;
comment on function outbox.finish_replay(bigint, text) is 'The run is over: done, or cancelled.';

create or replace function outbox.advance_replays() returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_replay outbox.replays;
  v_obstacle text;
begin
  select * into v_replay
  from outbox.replays as r
  where r.status = 'running'
  and r.due_at <= clock_timestamp()
  order by r.due_at
  limit 1
  for update skip locked;
  if not found then
    return false;
  end if;
  if not exists (select from outbox.subscriptions as s where s.id = v_replay.subscription_id) then
    perform outbox.finish_replay(v_replay.id, 'cancelled');
    return true;
  end if;
  v_obstacle := outbox.replay_obstacle(v_replay);
  if v_obstacle is null then
    perform outbox.advance_replay(v_replay);
  else
    update outbox.replays as r
    set waits_for = v_obstacle, allowance = 0, advanced_at = clock_timestamp(), due_at = clock_timestamp() + interval '500 ms'
    where r.id = v_replay.id;
  end if;
  return true;
end
$$;
revoke all on function outbox.advance_replays() from public;
comment on function outbox.advance_replays() is
  'Advances the replay or start position that has been due for longest by one step. Any number of workers may call it at once: a run is with one of them at a time. Returns whether there was one.';
