-- Deliveries that ended without arriving.

create or replace function outbox.failures_max(policy jsonb) returns numeric
  language sql immutable parallel safe
as $$
  select coalesce(
    (outbox.effective_policy(policy) -> 'exponential' ->> 'attempts')::numeric,
    jsonb_array_length(outbox.effective_policy(policy) -> 'schedule_seconds') + 1)
$$;
revoke all on function outbox.failures_max(jsonb) from public;
comment on function outbox.failures_max(jsonb) is 'The failure with which the schedule is used up: outbox.retry_delay has no delay for it.';

create or replace function outbox.new_dead_letters(since timestamptz)
  returns table (
    destination_id uuid, kind text, dedup_key text, open_alert_id bigint, count bigint, first_at timestamptz, last_at timestamptz)
  language sql stable
as $$
  with fresh as materialized (
    select v.destination_id, v.dead_at, v.failure_count, v.error_code is not distinct from 'poison' as is_poison
    from outbox.deliveries as v
    where v.dead_at >= new_dead_letters.since
  ), known as materialized (
    select d.id, k.kind, k.prefix || d.id as dedup_key, outbox.failures_max(d.policy) as failures_max, a.seen_at,
      case when a.resolved_at is null then a.id end as open_alert_id
    from (select distinct q.destination_id from fresh as q) as f
    cross join lateral (
      select t.id, t.policy, t.deleted_at from outbox.destinations as t where t.id = f.destination_id offset 0
    ) as d
    cross join (values ('dead_letter', 'dead:'), ('retries_exhausted', 'exhausted:'), ('poison', 'poison:')) as k (kind, prefix)
    left join lateral (
      select q.id, q.seen_at, q.resolved_at from outbox.alerts as q where q.dedup_key = k.prefix || d.id order by q.id desc limit 1
    ) as a on true
    where d.deleted_at is null
  )
  select k.id, k.kind, k.dedup_key, k.open_alert_id, count(*), min(f.dead_at), max(f.dead_at)
  from known as k
  join fresh as f on f.destination_id = k.id
  where f.dead_at > coalesce(k.seen_at, '-infinity')
  and f.is_poison = (k.kind = 'poison')
  and (k.kind <> 'retries_exhausted' or f.failure_count >= k.failures_max)
  group by k.id, k.kind, k.dedup_key, k.open_alert_id
$$;
revoke all on function outbox.new_dead_letters(timestamptz) from public;
comment on function outbox.new_dead_letters(timestamptz) is
  'Dead letters since then that no alert has counted, by destination and by the kind of alert that they are for, with the alert of that kind that fires already. Poison is its own kind; what used up its schedule is both a dead letter and an exhausted retry.';

create or replace function outbox.dead_letter_words(kind text, name text, count bigint) returns text[]
  language sql immutable parallel safe
as $$
  select case kind
    when 'dead_letter' then array[
      name || ' has dead letters',
      format('Ended without arriving: %s. Nothing tries them again until they are redriven.', count)]
    when 'retries_exhausted' then array[
      name || ': all retries are used up',
      format('Tried as often as the policy allows, and given up: %s.', count)]
    when 'poison' then array[
      name || ': a delivery is quarantined',
      format('In flight whenever workers died, and taken out of their way: %s.', count)]
  end
$$;
revoke all on function outbox.dead_letter_words(text, text, bigint) from public;
comment on function outbox.dead_letter_words(text, text, bigint) is 'Title and text of an alert of dead letters.';

create or replace function outbox.evaluate_dead_letters(since timestamptz, max integer) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_words text[];
  v_error jsonb;
  v_alert outbox.alerts;
  v_told integer := 0;
begin
  for v_row in
    select n.*, d.destination, d.name, d.policy
    from outbox.new_dead_letters(evaluate_dead_letters.since) as n
    cross join lateral (
      select t as destination, t.id, t.name, t.policy, t.deleted_at from outbox.destinations as t where t.id = n.destination_id offset 0
    ) as d
  loop
    exit when v_told >= evaluate_dead_letters.max;
    select outbox.described_error(v.error_code, a.error) into v_error
    from outbox.deliveries as v
    left join outbox.attempts as a
      on a.event_id = v.event_id and a.subscription_id = v.subscription_id and a.number = v.attempt_count and not a.late
    where v.destination_id = v_row.destination_id
    and v.dead_at = v_row.last_at
    and (v.error_code is not distinct from 'poison') = (v_row.kind = 'poison')
    limit 1;
    if v_row.open_alert_id is null then
      v_words := outbox.dead_letter_words(v_row.kind, v_row.name, v_row.count);
      perform outbox.raise_alert(
        v_row.destination, v_row.kind, case v_row.kind when 'poison' then 'critical' else 'warning' end, v_row.dedup_key, v_row.first_at,
        v_row.count, v_words[1], v_words[2], v_error, seen_at => v_row.last_at);
      v_told := v_told + 1;
    else
      update outbox.alerts as a
      set count = a.count + v_row.count, seen_at = v_row.last_at, last_error = coalesce(v_error, a.last_error),
        text = (outbox.dead_letter_words(v_row.kind, v_row.name, a.count + v_row.count))[2]
      where a.id = v_row.open_alert_id
      returning a.* into v_alert;
      if v_row.kind = 'retries_exhausted'
        and v_alert.told_at <= now() - make_interval(secs => outbox.alert_setting(v_row.policy, 'window_seconds')::double precision) then
        update outbox.alerts as a set told_at = now() where a.id = v_alert.id;
        perform outbox.tell_alert(v_alert);
        v_told := v_told + 1;
      end if;
    end if;
  end loop;
  return v_told;
end
$$;
revoke all on function outbox.evaluate_dead_letters(timestamptz, integer) from public;
comment on function outbox.evaluate_dead_letters(timestamptz, integer) is
  'Tells of the first dead letter of a destination and of poison, once until they are resolved, and of exhausted retries at most once a window; the alert that fires counts what follows. Returns how many were told.';

create or replace function outbox.resolve_dead_letters(max integer) returns integer
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(sum(outbox.resolve_alert(o.dedup_key, o.name || o.title, o.text)), 0)
  from (
    select a.dedup_key, d.name, r.title, r.text
    from outbox.alerts as a
    join outbox.destinations as d on d.id = a.destination_id
    cross join lateral (
      select ': all retries are used up no more' as title, 'None has been given up for a while.' as text
      where a.kind = 'retries_exhausted'
      and a.seen_at <= now() - make_interval(secs => outbox.alert_setting(d.policy, 'window_seconds')::double precision)
      union all
      select ': no new dead letters', 'None has died for an hour.'
      where a.kind = 'dead_letter' and a.seen_at <= now() - interval '1 hour'
      union all
      select ': no dead letters are left', 'They were redriven, or are past their retention.'
      where a.kind in ('dead_letter', 'poison')
      and not exists (
        select from outbox.deliveries as v
        where v.destination_id = a.destination_id
        and v.dead_at >= a.since
        and (v.error_code is not distinct from 'poison') = (a.kind = 'poison')
      )
      limit 1
    ) as r
    where a.resolved_at is null
    and a.kind in ('dead_letter', 'retries_exhausted', 'poison')
    limit max
  ) as o
$$;
revoke all on function outbox.resolve_dead_letters(integer) from public;
comment on function outbox.resolve_dead_letters(integer) is
  'Resolves alerts of dead letters: when none is left, for those that are not poison after an hour without a new one, and for exhausted retries after a window without. Returns how many.';
