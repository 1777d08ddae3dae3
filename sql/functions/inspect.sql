create or replace function outbox.event_timeline(event_id uuid)
  returns table (at timestamptz, what text, attempt integer, detail text, destination text, subscription_id uuid)
  language sql stable
as $$
  select t.at, t.what, t.attempt, t.detail, d.name, t.subscription_id
  from (
    select e.created_at as at, 0 as step, 'event' as what, null::integer as attempt, e.topic as detail, null::uuid as destination_id, null::uuid as subscription_id
    from outbox.events as e where e.id = event_timeline.event_id
    union all
    select v.created_at, 1, 'delivery', null, case when v.held_reason is not null and v.attempt_count = 0 then 'held: ' || v.held_reason end,
      v.destination_id, v.subscription_id
    from outbox.deliveries as v where v.event_id = event_timeline.event_id
    union all
    select a.started_at, 2, case when a.late then 'late answer' else a.outcome::text end, a.number,
      concat_ws(', ', nullif(a.trigger, 'event'), a.requested_by, a.error, a.duration_ms || ' ms'),
      a.destination_id, a.subscription_id
    from outbox.attempts as a where a.event_id = event_timeline.event_id
    union all
    select v.finished_at, 3, 'ended: ' || v.status, null, v.error_code, v.destination_id, v.subscription_id
    from outbox.deliveries as v where v.event_id = event_timeline.event_id and v.finished_at is not null
    union all
    select v.next_attempt_at, 4, 'next attempt', v.attempt_count + 1, v.error_code, v.destination_id, v.subscription_id
    from outbox.deliveries as v where v.event_id = event_timeline.event_id and v.next_attempt_at is not null
  ) as t
  left join outbox.destinations as d on d.id = t.destination_id
  order by t.at, t.step
$$;
revoke all on function outbox.event_timeline(uuid) from public;
comment on function outbox.event_timeline(uuid) is 'The life of one event, in order: inserted, fanned out, attempted, ended, next attempt.';

create or replace function outbox.explain_match(event_id uuid)
  returns table (destination text, matched boolean, reason text, subscription_id uuid, destination_id uuid)
  language sql stable
as $$
  select
    d.name,
    s.enabled and s.topics && outbox.topic_candidates(e.topic) and outbox.filter_matches(e.payload::jsonb, s.filter_path),
    case
      when not s.enabled then 'the subscription is not enabled'
      when not s.topics && outbox.topic_candidates(e.topic) then format('topic %s is not among %s', e.topic, s.topics)
        || case when starts_with(e.topic, 'postrider.') and '*' = any (s.topics) then ': * leaves out postrider.*' else '' end
      when not outbox.filter_matches(e.payload::jsonb, s.filter_path)
        then 'filter: ' || coalesce(outbox.explain_filter(e.payload::jsonb, s.filter), 'no match')
      when d.disabled_at is not null then 'matches; the destination is disabled: ' || d.disabled_reason
      when s.created_at > e.created_at then 'matches; the subscription is younger than the event'
      else 'matches'
    end,
    s.id, d.id
  from outbox.events as e
  join outbox.subscriptions as s on s.tenant_id in (e.tenant_id, '*')
  join outbox.destinations as d on d.id = s.destination_id
  where e.id = explain_match.event_id
  and d.deleted_at is null
  order by 2 desc, 1
$$;
revoke all on function outbox.explain_match(uuid) from public;
comment on function outbox.explain_match(uuid) is
  'For each subscription of the event''s tenant: whether it wants this event as things stand now, and why not.';
