-- An alert: a row, and an event of it for whoever subscribed.

create or replace function outbox.alert_setting(policy jsonb, name text) returns numeric
  language sql immutable parallel safe
as $$
  select coalesce(policy -> 'alerts' ->> name, outbox.default_policy() -> 'alerts' ->> name)::numeric
$$;
revoke all on function outbox.alert_setting(jsonb, text) from public;
comment on function outbox.alert_setting(jsonb, text) is 'A field of a policy''s alerts, or its default.';

create or replace function outbox.alert_time(at timestamptz) returns text
  language sql immutable parallel safe
as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
$$;
revoke all on function outbox.alert_time(timestamptz) from public;
comment on function outbox.alert_time(timestamptz) is 'A time as the texts of alerts say it.';

create or replace function outbox.described_error(code text, message text) returns jsonb
  language sql immutable parallel safe
as $$
  select case when code is not null then jsonb_build_object('code', code, 'message', message, 'remedy', outbox.remedy(code)) end
$$;
revoke all on function outbox.described_error(text, text) from public;
comment on function outbox.described_error(text, text) is 'An error with its remedy, as alerts carry it.';

create or replace function outbox.last_error_of(destination_id uuid) returns jsonb
  language sql stable
as $$
  select outbox.described_error(h.last_error_code, h.last_error)
  from outbox.destination_health as h
  where h.destination_id = last_error_of.destination_id
$$;
revoke all on function outbox.last_error_of(uuid) from public;
comment on function outbox.last_error_of(uuid) is 'The last error of a destination with its remedy. Null: there was none.';

create or replace function outbox.gets_own_events(destination_id uuid) returns boolean
  language sql stable
as $$
  select exists (
    select from outbox.subscriptions as s
    cross join lateral unnest(s.topics) as t (topic)
    where s.destination_id = gets_own_events.destination_id
    and starts_with(t.topic, 'postrider.')
  )
$$;
revoke all on function outbox.gets_own_events(uuid) from public;
comment on function outbox.gets_own_events(uuid) is
  'Whether a subscription of the destination names topics postrider.*: then no event is made of its own alerts, which would fail in turn.';

create or replace function outbox.alert_look(kind text, destination_id uuid) returns text
  language sql immutable parallel safe
as $$
  select format(case
    when kind in ('dead_letter', 'retries_exhausted') then 'select * from outbox.dead_letters where destination_id = %L;'
    when kind = 'poison' then 'select * from outbox.dead_letters where destination_id = %L and error_code = ''poison'';'
    when kind = 'backlog' then 'select * from outbox.pending where destination_id = %L order by age desc limit 20;'
    when kind in ('consecutive_failures', 'failure_rate', 'circuit_opened') then
      'select started_at, code, error from outbox.attempts where destination_id = %L and outcome <> ''delivered'' order by started_at desc limit 20;'
    else 'select * from outbox.destination_status where id = %L;'
  end, destination_id)
$$;
revoke all on function outbox.alert_look(text, uuid) from public;
comment on function outbox.alert_look(text, uuid) is 'SQL that shows what an alert of this kind is about.';

create or replace function outbox.alert_redrive(kind text, destination_id uuid) returns text
  language sql immutable parallel safe
as $$
  select case
    when kind in ('consecutive_failures', 'failure_rate', 'circuit_opened', 'dead_letter', 'retries_exhausted') then
      format('select * from outbox.redrive(destination_id => %L, statuses => ''{dead}'');', destination_id)
    when kind = 'poison' then
      format('select * from outbox.redrive(destination_id => %L, statuses => ''{dead}'', error_code => ''poison'');', destination_id)
  end
$$;
revoke all on function outbox.alert_redrive(text, uuid) from public;
comment on function outbox.alert_redrive(text, uuid) is
  'SQL that redrives what an alert of this kind is about. Null: nothing has died, or it would be held at once.';

create or replace function outbox.tell_alert(alert outbox.alerts, kind text default null) returns uuid
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind constant text := coalesce(tell_alert.kind, alert.kind);
  v_destination outbox.destinations;
begin
  if outbox.gets_own_events(alert.destination_id) then
    return null;
  end if;
  select * into v_destination from outbox.destinations as d where d.id = alert.destination_id;
  return outbox.insert_own_event('postrider.alert.' || v_kind, alert.tenant_id, json_build_object(
    'alert_id', alert.id, 'kind', v_kind, 'state', alert.state, 'severity', alert.severity, 'dedup_key', alert.dedup_key,
    'tenant_id', alert.tenant_id, 'destination_id', alert.destination_id, 'destination', v_destination.name,
    'destination_type', v_destination.type,
    'since', to_char(alert.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'count', alert.count,
    'title', alert.title, 'text', alert.text, 'last_error', alert.last_error, 'look', alert.look, 'redrive', alert.redrive
  ), alert.dedup_key);
end
$$;
revoke all on function outbox.tell_alert(outbox.alerts, text) from public;
comment on function outbox.tell_alert(outbox.alerts, text) is
  'Makes an event of an alert, with its dedup_key as key, and returns its id; null if the destination itself gets such events.';

create or replace function outbox.raise_alert(
  destination outbox.destinations, kind text, severity text, dedup_key text, since timestamptz, count bigint, title text, text text,
  last_error jsonb default null, level integer default 0, seen_at timestamptz default now()) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_alert outbox.alerts;
begin
  insert into outbox.alerts
    (kind, severity, tenant_id, destination_id, dedup_key, level, since, count, title, text, last_error, look, redrive, seen_at)
  values (
    kind, severity, case destination.tenant_id when '*' then 'default' else destination.tenant_id end, destination.id, dedup_key,
    level, since, count, title, text, last_error, outbox.alert_look(kind, destination.id), outbox.alert_redrive(kind, destination.id),
    seen_at)
  returning * into v_alert;
  update outbox.alerts as a set event_id = outbox.tell_alert(v_alert) where a.id = v_alert.id;
end
$$;
revoke all on function outbox.raise_alert(outbox.destinations, text, text, text, timestamptz, bigint, text, text, jsonb, integer, timestamptz)
  from public;
comment on function outbox.raise_alert(outbox.destinations, text, text, text, timestamptz, bigint, text, text, jsonb, integer, timestamptz) is
  'Writes an alert and tells it. Whether it is new is for the caller to know; two that fire at once with the same dedup_key and level cannot be.';

create or replace function outbox.resolve_alert(dedup_key text, title text, text text, kind text default null) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert outbox.alerts;
begin
  with resolved as (
    update outbox.alerts as a
    set state = 'resolved', resolved_at = now()
    where a.dedup_key = resolve_alert.dedup_key
    and a.resolved_at is null
    returning a.*
  )
  select * into v_alert from resolved as r order by r.level desc limit 1;
  if not found then
    return 0;
  end if;
  v_alert.title := resolve_alert.title;
  v_alert.text := resolve_alert.text;
  perform outbox.tell_alert(v_alert, resolve_alert.kind);
  return 1;
end
$$;
revoke all on function outbox.resolve_alert(text, text, text, text) from public;
comment on function outbox.resolve_alert(text, text, text, text) is
  'Ends what fires with this dedup_key, at all its levels, and tells so once: with the severity of the highest, so that who was told of it is told of its end. Returns 1, or 0 if nothing fires.';

create or replace function outbox.resolve_others(kind text, present text[], title text, text text, max integer) returns integer
  language sql
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(sum(outbox.resolve_alert(o.dedup_key, format(title, o.name), format(text, o.name))), 0)
  from (
    select a.dedup_key, d.name
    from outbox.alerts as a
    join outbox.destinations as d on d.id = a.destination_id
    where a.resolved_at is null
    and a.kind = resolve_others.kind
    and a.dedup_key <> all (present)
    limit max
  ) as o
$$;
revoke all on function outbox.resolve_others(text, text[], text, text, integer) from public;
comment on function outbox.resolve_others(text, text[], text, text, integer) is
  'Resolves the alerts of a kind that fire although their dedup_key is not among those at present, at most max. %s in title and text is the name of the destination. Returns how many.';
