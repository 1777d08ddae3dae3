-- What people do with the past: events are delivered again to one subscription, in a run that workers advance.

create or replace function outbox.replay(
  subscription_id uuid, since timestamptz, until timestamptz default now(), topics text[] default null, filter jsonb default null,
  dry_run boolean default false, max bigint default null, rate numeric default 100, actor text default null)
  returns table (replay_id bigint, matched bigint, repeats bigint, makes bigint, leaves_alone bigint, oldest timestamptz, newest timestamptz, takes interval)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_subscription constant outbox.subscriptions := outbox.get_subscription(subscription_id);
  v_replay outbox.replays;
begin
  if replay.since is null or replay.until is null or replay.since >= replay.until then
    raise exception 'since: must be before until'
      using errcode = 'PR001', hint = 'since => ''-infinity'' takes every event that is still there; until is now, if it is not given.';
  end if;
  if replay.max < 1 then
    raise exception 'max: must be at least 1, not %', replay.max using errcode = 'PR001', hint = 'Leave it out for all events of the range.';
  end if;
  perform outbox.check_replay_rate(replay.rate);
  v_replay := outbox.new_replay(v_subscription, replay.since, least(replay.until, now()), replay.rate, replay.actor);
  v_replay.repeats := true;
  v_replay.topics := case when replay.topics is not null then outbox.check_topics(replay.topics) end;
  v_replay.filter := replay.filter;
  v_replay.filter_path := outbox.compile_filter(replay.filter);
  v_replay.max_deliveries := replay.max;

  if replay.dry_run is not true then
    replay_id := outbox.insert_replay(v_replay);
    perform outbox.audit('replay', replay.actor, v_replay.tenant_id, v_replay.destination_id, jsonb_build_object(
      'replay_id', replay_id, 'subscription_id', v_replay.subscription_id, 'since', v_replay.since, 'until', v_replay.until,
      'topics', v_replay.topics, 'filter', v_replay.filter is not null, 'max', v_replay.max_deliveries, 'rate', v_replay.rate));
    return next;
    return;
  end if;
  return query
  select
    null::bigint, count(c.fate), count(*) filter (where c.fate = 'repeat'), count(*) filter (where c.fate = 'make'),
    count(*) filter (where c.fate = 'leave'), outbox.time_of(outbox.least_of(array_agg(c.event_id) filter (where c.fate is not null))),
    outbox.time_of(outbox.greatest_of(array_agg(c.event_id) filter (where c.fate is not null))),
    make_interval(secs => (count(*) filter (where c.fate in ('repeat', 'make')) / v_replay.rate)::double precision)
  from (
    select k.event_id, k.fate, count(*) filter (where k.fate in ('repeat', 'make')) over (order by k.event_id) as n
    from outbox.replay_candidates(v_replay, null) as k
  ) as c
  where v_replay.max_deliveries is null or c.n <= v_replay.max_deliveries;
end
$$;
revoke all on function outbox.replay(uuid, timestamptz, timestamptz, text[], jsonb, boolean, bigint, numeric, text) from public;
comment on function outbox.replay(uuid, timestamptz, timestamptz, text[], jsonb, boolean, bigint, numeric, text) is
  'Delivers the events of a time range to a subscription again, oldest first: those that it got or that died, and those that it never got; what is pending, held or cancelled is left alone. topics and filter are the subscription''s own unless given. Workers do it in the background, at most rate a second; see outbox.replay_progress. dry_run only counts; otherwise the id of the run is returned.';

create or replace function outbox.check_replay_rate(rate numeric) returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if rate is null or rate not between 0.01 and 10000 then
    raise exception 'rate: must be between 0.01 and 10000 a second, not %', rate
      using errcode = 'PR001', hint = '100 is usual.';
  end if;
end
$$;
revoke all on function outbox.check_replay_rate(numeric) from public;
comment on function outbox.check_replay_rate(numeric) is 'Refuses a rate that is not a number of deliveries a second.';

create or replace function outbox.new_replay(
  subscription outbox.subscriptions, since timestamptz, until timestamptz, rate numeric, actor text) returns outbox.replays
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_replay outbox.replays;
begin
  v_replay.subscription_id := subscription.id;
  v_replay.destination_id := subscription.destination_id;
  v_replay.tenant_id := subscription.tenant_id;
  v_replay.since := since;
  v_replay.until := until;
  v_replay.rate := rate;
  v_replay.actor := coalesce(actor, session_user);
  v_replay.created_at := now();
  -- The last possible id of the millisecond before. There are no events from before 1970.
  v_replay.after_event_id := case
    when since < '1970-01-02' then '00000000-0000-0000-0000-000000000000'::uuid
    else overlay(outbox.uuid_at(since - interval '1 millisecond')::text placing 'ffff-ffff-ffffffffffff' from 15)::uuid
  end;
  v_replay.until_event_id := outbox.uuid_at(greatest(until, '1970-01-02'));
  return v_replay;
end
$$;
revoke all on function outbox.new_replay(outbox.subscriptions, timestamptz, timestamptz, numeric, text) from public;
comment on function outbox.new_replay(outbox.subscriptions, timestamptz, timestamptz, numeric, text) is
  'A run over the events of this time range for the subscription, not stored yet.';

create or replace function outbox.insert_replay(replay outbox.replays) returns bigint
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  insert into outbox.replays
    (subscription_id, destination_id, tenant_id, repeats, actor, since, until, topics, filter, filter_path, max_deliveries, rate,
      after_event_id, until_event_id, settled_event_id, created_xid)
  values
    (replay.subscription_id, replay.destination_id, replay.tenant_id, replay.repeats, replay.actor, replay.since, replay.until,
      replay.topics, replay.filter, replay.filter_path, replay.max_deliveries, replay.rate, replay.after_event_id,
      replay.until_event_id, replay.settled_event_id, replay.created_xid)
  returning id
$$;
revoke all on function outbox.insert_replay(outbox.replays) from public;
comment on function outbox.insert_replay(outbox.replays) is 'Stores a run, which starts it, and returns its id.';

create or replace function outbox.change_replay(
  replay_id bigint, action text, actor text, statuses text[], new_status text, new_rate numeric default null) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_replay outbox.replays;
begin
  select * into v_replay from outbox.replays as r where r.id = change_replay.replay_id for update;
  if not found then
    raise exception 'replay: there is none with id %', coalesce(replay_id::text, 'null')
      using errcode = 'PR002', hint = 'select id, destination, status from outbox.replay_progress;';
  end if;
  if v_replay.status <> all (statuses) then
    raise exception 'replay: % is %', v_replay.id, v_replay.status
      using errcode = 'PR003', hint = format('%s is for a replay that is %s.', action, array_to_string(statuses, ' or '));
  end if;
  update outbox.replays as r
  set status = new_status, rate = coalesce(new_rate, r.rate), waits_for = null, allowance = 0,
    advanced_at = clock_timestamp(), due_at = clock_timestamp(),
    finished_at = case when new_status = 'cancelled' then now() end
  where r.id = v_replay.id;
  perform outbox.audit(action, actor, v_replay.tenant_id, v_replay.destination_id,
    jsonb_build_object('replay_id', v_replay.id, 'subscription_id', v_replay.subscription_id, 'rate', new_rate));
end
$$;
revoke all on function outbox.change_replay(bigint, text, text, text[], text, numeric) from public;
comment on function outbox.change_replay(bigint, text, text, text[], text, numeric) is
  'Gives a replay that has one of these statuses another one, and a rate where one is given.';

create or replace function outbox.pause_replay(replay_id bigint, actor text default null) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  select outbox.change_replay(replay_id, 'pause_replay', actor, '{running}', 'paused')
$$;
revoke all on function outbox.pause_replay(bigint, text) from public;
comment on function outbox.pause_replay(bigint, text) is 'Stops a replay where it is; what it has put to work goes on. outbox.resume_replay goes on from there.';

create or replace function outbox.resume_replay(replay_id bigint, rate numeric default null, actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.check_replay_rate(coalesce(rate, 1));
  perform outbox.change_replay(replay_id, 'resume_replay', actor, '{paused}', 'running', rate);
end
$$;
revoke all on function outbox.resume_replay(bigint, numeric, text) from public;
comment on function outbox.resume_replay(bigint, numeric, text) is 'Goes on with a paused replay where it stopped, at another rate if one is given.';

create or replace function outbox.cancel_replay(replay_id bigint, actor text default null) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  select outbox.change_replay(replay_id, 'cancel_replay', actor, '{running,paused}', 'cancelled')
$$;
revoke all on function outbox.cancel_replay(bigint, text) from public;
comment on function outbox.cancel_replay(bigint, text) is 'Ends a replay before it is done; what it has put to work goes on.';
