-- Delivery policy: the defaults in one place, the check, and the one formula for "when is the next try".

create or replace function outbox.default_policy() returns jsonb
  language sql immutable parallel safe
  return '{
    "schedule_seconds": [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
    "max_age_seconds": 1209600,
    "jitter": 0.1,
    "timeout_seconds": 15,
    "dead_statuses": [],
    "circuit": {
      "failures": 10, "span_seconds": 60, "rate": 0.5, "window_seconds": 60, "minimum": 100,
      "probe_seconds": 2, "probe_seconds_max": 600
    },
    "disable_after_seconds": 432000,
    "redrives_max": 100,
    "alerts": {
      "failures": 100, "rate": 0.5, "window_seconds": 300, "minimum": 20,
      "backlog_seconds": 3600, "secret_expiry_seconds": 259200
    }
  }'::jsonb;
revoke all on function outbox.default_policy() from public;
comment on function outbox.default_policy() is
  'What holds where a destination''s policy is silent: the retry schedule of Standard Webhooks (ten attempts over 75 h 35 min), 10 % jitter, 15 s for an attempt, 14 days for a delivery. No limit of rate or places unless rate_per_second or in_flight_max is given.';

create or replace function outbox.effective_policy(policy jsonb) returns jsonb
  language sql immutable parallel safe
  return outbox.default_policy() || policy || jsonb_build_object(
    'circuit', outbox.default_policy() -> 'circuit' || coalesce(policy -> 'circuit', '{}'),
    'alerts', outbox.default_policy() -> 'alerts' || coalesce(policy -> 'alerts', '{}'));
revoke all on function outbox.effective_policy(jsonb) from public;
comment on function outbox.effective_policy(jsonb) is 'A destination''s policy with the defaults filled in, those of its circuit and alerts field by field.';

create or replace function outbox.check_policy(policy jsonb) returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.check_json(policy, '{
    "type": "object",
    "additionalProperties": false,
    "properties": {
      "schedule_seconds": {"type": "array", "maxItems": 50, "items": {"type": "number", "minimum": 0, "maximum": 2592000}},
      "exponential": {
        "type": "object",
        "additionalProperties": false,
        "required": ["base_seconds", "factor", "cap_seconds", "attempts"],
        "properties": {
          "base_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
          "factor": {"type": "number", "minimum": 1, "maximum": 10},
          "cap_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 2592000},
          "attempts": {"type": "integer", "minimum": 1, "maximum": 100}
        }
      },
      "max_age_seconds": {"type": "number", "minimum": 1, "maximum": 31536000},
      "jitter": {"type": "number", "minimum": 0, "maximum": 1},
      "timeout_seconds": {"type": "number", "minimum": 1, "maximum": 60},
      "dead_statuses": {"type": "array", "maxItems": 50, "items": {"type": "integer", "minimum": 300, "maximum": 599}},
      "circuit": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "failures": {"type": "integer", "minimum": 1, "maximum": 1000000},
          "span_seconds": {"type": "number", "minimum": 0, "maximum": 86400},
          "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
          "window_seconds": {"type": "number", "minimum": 1, "maximum": 3600},
          "minimum": {"type": "integer", "minimum": 1, "maximum": 1000000},
          "probe_seconds": {"type": "number", "minimum": 1, "maximum": 86400},
          "probe_seconds_max": {"type": "number", "minimum": 1, "maximum": 86400}
        }
      },
      "disable_after_seconds": {"type": "number", "minimum": 60, "maximum": 31536000},
      "in_flight_max": {"type": "integer", "minimum": 1, "maximum": 10000},
      "rate_per_second": {"type": "number", "minimum": 0.001, "maximum": 100000},
      "burst": {"type": "integer", "minimum": 1, "maximum": 100000},
      "redrives_max": {"type": "integer", "minimum": 0, "maximum": 100000},
      "alerts": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "failures": {"type": "integer", "minimum": 1, "maximum": 1000000},
          "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
          "window_seconds": {"type": "number", "minimum": 1, "maximum": 86400},
          "minimum": {"type": "integer", "minimum": 1, "maximum": 1000000},
          "backlog_seconds": {"type": "number", "minimum": 1, "maximum": 31536000},
          "secret_expiry_seconds": {"type": "number", "minimum": 1, "maximum": 31536000}
        }
      }
    }
  }', 'policy');
  if policy ? 'schedule_seconds' and policy ? 'exponential' then
    raise exception 'policy: has both schedule_seconds and exponential'
      using errcode = 'PR001', hint = 'Give the list of delays, or the exponential formula.';
  end if;
end
$$;
revoke all on function outbox.check_policy(jsonb) from public;
comment on function outbox.check_policy(jsonb) is 'Refuses a policy that has unknown fields, values out of bounds or two schedules.';

-- In numeric, because JSON numbers are: 1e-400 and 3.0 attempts pass the check, and would not pass as double and integer.
create or replace function outbox.retry_delay(policy jsonb, failures integer, retry_after interval, luck double precision)
  returns interval
  language sql immutable parallel safe
as $$
  select case
    when delay.seconds is null then null
    else greatest(
      make_interval(secs => (
        round(delay.seconds, 3) * (1 + luck::numeric * round((effective.policy ->> 'jitter')::numeric, 4)))::double precision),
      case when retry_after is not null then least(retry_after, interval '24 hours') end)
  end
  from (select outbox.effective_policy(policy)) as effective (policy)
  cross join lateral (
    select case
      when effective.policy ? 'exponential' then (
        select case when failures < e.attempts
          then least(e.cap_seconds, e.base_seconds * round(e.factor, 3) ^ least(failures - 1, 60)) end
        from jsonb_to_record(effective.policy -> 'exponential')
          as e (base_seconds numeric, factor numeric, cap_seconds numeric, attempts numeric)
      )
      else (effective.policy -> 'schedule_seconds' ->> (failures - 1))::numeric
    end
  ) as delay (seconds)
$$;
revoke all on function outbox.retry_delay(jsonb, integer, interval, double precision) from public;
comment on function outbox.retry_delay(jsonb, integer, interval, double precision) is
  'How long to wait after this many failures (from 1); null when the schedule is used up. luck, from 0 to 1, chooses within the jitter, which only ever adds; never earlier than retry_after, which counts up to 24 hours.';
