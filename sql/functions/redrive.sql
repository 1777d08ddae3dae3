create or replace function outbox.redrive(
  event_id uuid default null, subscription_id uuid default null, destination_id uuid default null,
  since timestamptz default null, until timestamptz default null, error_code text default null,
  statuses outbox.delivery_status[] default '{dead,held}', max integer default 1000, dry_run boolean default false,
  actor text default null)
  returns setof outbox.deliveries
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_chosen outbox.deliveries[];
  v_left_out bigint;
begin
  if coalesce(redrive.event_id, redrive.subscription_id, redrive.destination_id) is null
    and coalesce(redrive.since, redrive.until) is null and redrive.error_code is null then
    raise exception 'redrive: nothing was chosen'
      using errcode = 'PR001', hint = 'Name an event_id, subscription_id, destination_id, error_code, or a time range (since, until).';
  end if;
  if redrive.statuses && '{pending,cancelled}' then
    raise exception 'statuses: can be dead, held and delivered'
      using errcode = 'PR001', hint = 'Pending deliveries are tried anyway; cancelled ones were ended on purpose.';
  end if;
  if redrive.max is null or redrive.max not between 1 and 100000 then
    raise exception 'max: must be between 1 and 100000, not %', redrive.max
      using errcode = 'PR001', hint = 'Redrive in portions.';
  end if;

  select array_agg(c) into v_chosen
  from (
    select d
    from outbox.deliveries as d
    where d.status = any (redrive.statuses)
    and (redrive.event_id is null or d.event_id = redrive.event_id)
    and (redrive.subscription_id is null or d.subscription_id = redrive.subscription_id)
    and (redrive.destination_id is null or d.destination_id = redrive.destination_id)
    and (redrive.since is null or d.event_id >= outbox.uuid_at(redrive.since))
    and (redrive.until is null or d.event_id < outbox.uuid_at(redrive.until))
    and (redrive.error_code is null or d.error_code = redrive.error_code)
    and ('delivered' = any (redrive.statuses) or d.dead_at is not null or d.held_at is not null)
    and outbox.is_redriven_out(d.redrive_count, d.destination_id) is not true
    order by d.event_id, d.subscription_id
    limit redrive.max
    for update skip locked
  ) as c (c);

  select count(*) into v_left_out
  from outbox.deliveries as d
  where outbox.is_redriven_out(d.redrive_count, d.destination_id)
  and d.status = any (redrive.statuses)
  and (redrive.event_id is null or d.event_id = redrive.event_id)
  and (redrive.subscription_id is null or d.subscription_id = redrive.subscription_id)
  and (redrive.destination_id is null or d.destination_id = redrive.destination_id)
  and (redrive.since is null or d.event_id >= outbox.uuid_at(redrive.since))
  and (redrive.until is null or d.event_id < outbox.uuid_at(redrive.until))
  and (redrive.error_code is null or d.error_code = redrive.error_code)
  and ('delivered' = any (redrive.statuses) or d.dead_at is not null or d.held_at is not null);
  if v_left_out > 0 then
    raise notice 'redrive: % left out, redriven redrives_max times already', v_left_out
      using hint = 'Mend the cause first; update_destination(policy => ...) raises redrives_max.';
  end if;

  if redrive.dry_run is not true and (v_chosen is not null or v_left_out > 0) then
    perform outbox.put_back(v_chosen, coalesce(redrive.actor, session_user)) where v_chosen is not null;
    perform outbox.audit('redrive', redrive.actor, tenant_id => outbox.tenant_of(v_chosen), destination_id => redrive.destination_id, detail => jsonb_build_object(
      'event_id', redrive.event_id, 'subscription_id', redrive.subscription_id, 'since', redrive.since, 'until', redrive.until,
      'error_code', redrive.error_code, 'statuses', redrive.statuses, 'redriven', coalesce(cardinality(v_chosen), 0),
      'left_out', nullif(v_left_out, 0)));
  end if;
  return query
  select c.* from unnest(v_chosen) as c;
end
$$;
revoke all on function outbox.redrive(uuid, uuid, uuid, timestamptz, timestamptz, text, outbox.delivery_status[], integer, boolean, text)
  from public;
comment on function outbox.redrive(uuid, uuid, uuid, timestamptz, timestamptz, text, outbox.delivery_status[], integer, boolean, text) is
  'A person puts deliveries back to work: dead and held ones (or what statuses says), oldest first, at most max, chosen by event, subscription, destination, time of the event or error code. The schedule starts anew. Those that were redriven redrives_max times (policy) are left out, with a notice and a count in the audit. dry_run only shows them. Returns them as they were.';

create or replace function outbox.put_back(
  deliveries outbox.deliveries[], redriven_by text default null, priority integer default 0) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  update outbox.deliveries as d
  set status = 'pending', next_attempt_at = greatest(d.counted_from, now()),
    job_at = case when d.counted_from > now() then null else now() end,
    counted_from = case when put_back.redriven_by is null then d.counted_from else greatest(d.counted_from, now()) end,
    finished_at = null, dead_at = null, held_at = null, held_reason = null,
    failure_count = case when put_back.redriven_by is null then d.failure_count else 0 end,
    redriven_by = coalesce(put_back.redriven_by, d.redriven_by),
    redrive_count = case when put_back.redriven_by is null then d.redrive_count else coalesce(d.redrive_count, 0) + 1 end,
    replay_id = case when put_back.redriven_by is null then d.replay_id end
  from unnest(deliveries) as c
  where d.event_id = c.event_id
  and d.subscription_id = c.subscription_id;
  perform outbox.resume_lanes(deliveries);
  perform outbox.wake(
    array_agg(c.event_id order by c.destination_id, c.seq), array_agg(c.subscription_id order by c.destination_id, c.seq),
    priority => put_back.priority)
  from unnest(deliveries) as c
  where coalesce(c.counted_from <= now(), true)
  having count(*) > 0;
end
$$;
revoke all on function outbox.put_back(outbox.deliveries[], text, integer) from public;
comment on function outbox.put_back(outbox.deliveries[], text, integer) is
  'Makes deliveries pending and wakes the workers, with jobs of this priority; nothing is sent before deliver_after. By a person (redriven_by) the schedule and the maximum age start anew.';
