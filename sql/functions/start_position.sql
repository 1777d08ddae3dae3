-- Where a new subscription starts. History is a run like a replay, handed over to the live events without a gap:
-- a transaction that could not see the subscription may commit its events long after the run has passed their place, so when the
-- last of them has ended, the run looks once more at what was not settled when the subscription was made.

create or replace function outbox.start_time(start text) returns timestamptz
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_start timestamptz;
begin
  if start = 'now' then
    return null;
  elsif start = 'beginning' then
    return '-infinity';
  end if;
  begin
    v_start := start::timestamptz;
  exception when others then
    v_start := null;
  end;
  if v_start is null then
    perform outbox.refuse_input('start', 'must be now, beginning or a time', 'start => ''2025-03-04 10:00:00+00''');
  elsif v_start > now() then
    perform outbox.refuse_input('start', 'must not be in the future', 'start => ''now''');
  end if;
  return v_start;
end
$$;
revoke all on function outbox.start_time(text) from public;
comment on function outbox.start_time(text) is 'The time from which on history is wanted. Null: none, only what comes.';

create or replace function outbox.deliver_history(subscription_id uuid, start text, actor text) returns bigint
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_rate constant numeric := 1000;
  v_since constant timestamptz := outbox.start_time(start);
  v_run outbox.replays;
begin
  if v_since is null then
    return null;
  end if;
  v_run := outbox.new_replay(outbox.get_subscription(subscription_id), v_since, now(), v_rate, actor);
  v_run.repeats := false;
  v_run.settled_event_id := (select i.frontier from outbox.instance as i);
  v_run.created_xid := pg_current_xact_id();
  return outbox.insert_replay(v_run);
end
$$;
revoke all on function outbox.deliver_history(uuid, text, text) from public;
comment on function outbox.deliver_history(uuid, text, text) is
  'Starts the run that brings a new subscription the events from its start position on, at up to 1,000 a second; returns its id, or null if it starts now. Called by the transaction that makes the subscription.';

create or replace function outbox.has_snapshot_before(xid xid8) returns boolean
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  select xid < pg_snapshot_xmax(pg_current_snapshot()) and exists (
    select from pg_stat_activity as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
    and a.pid <> pg_backend_pid()
    and a.usesysid is not null
    and age(a.backend_xmin) >= age(xid::xid)
  )
$$;
revoke all on function outbox.has_snapshot_before(xid8) from public;
comment on function outbox.has_snapshot_before(xid8) is
  'Whether somebody in this database may still look through a snapshot that does not show this transaction, which has ended: a repeatable read transaction that has written nothing yet has no id, but it shows here. Autovacuum, which has no user, does not count. An id from before a restore is nobody''s.';

create or replace function outbox.end_of_range(replay outbox.replays) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if replay.created_xid is null then
    perform outbox.finish_replay(replay.id, 'done');
  elsif replay.barrier_xid is null and not outbox.has_snapshot_before(replay.created_xid) then
    update outbox.replays as r set barrier_xid = pg_current_xact_id() where r.id = replay.id;
  elsif replay.barrier_xid <= pg_snapshot_xmin(pg_current_snapshot()) or replay.barrier_xid >= pg_snapshot_xmax(pg_current_snapshot()) then
    update outbox.replays as r
    set created_xid = null, barrier_xid = null, until_event_id = outbox.uuid_at(clock_timestamp() + interval '1 second'),
      after_event_id = outbox.greatest_of(array[
        r.settled_event_id, (outbox.new_replay(s, r.since, r.until, r.rate, r.actor)).after_event_id])
    from outbox.subscriptions as s
    where r.id = replay.id
    and s.id = r.subscription_id;
  else
    update outbox.replays as r
    set waits_for = 'transactions from before the subscription', due_at = clock_timestamp() + interval '200 ms'
    where r.id = replay.id;
  end if;
end
$$;
revoke all on function outbox.end_of_range(outbox.replays) from public;
comment on function outbox.end_of_range(outbox.replays) is
  'The run has come to the end of its range. A replay is done. A start position waits until no snapshot, and then no transaction, is left that could not see the subscription, and looks once more at what was not settled when it was made; then it is done.';
