-- What the files of sql/ make of an empty database, without the bodies of functions and views, which stand there.
-- Written by `npm run dump`, compared by snapshot.test.ts.

type attempt_outcome as enum ('delivered', 'retry', 'dead', 'unknown')
type delivery_status as enum ('pending', 'held', 'delivered', 'dead', 'cancelled')

table alert_cursor
  only_row boolean not null default true
  audit_id bigint not null
  seen_audit_ids bigint[] not null default '{}'::bigint[]
  at timestamp with time zone not null
  next_audit_id bigint
  next_at timestamp with time zone
  next_xid xid8
  slow_checks_at timestamp with time zone not null default '-infinity'::timestamp with time zone
  constraint alert_cursor_pkey PRIMARY KEY (only_row)
  constraint next_is_whole CHECK ((num_nulls(next_audit_id, next_at, next_xid) = ANY (ARRAY[0, 3])))
  constraint there_is_one_cursor CHECK (only_row)

table alerts
  id bigint not null generated always as identity
  kind text not null
  severity text not null
  state text not null default 'firing'::text
  tenant_id text not null
  destination_id uuid not null
  dedup_key text not null
  level integer not null default 0
  since timestamp with time zone not null
  count bigint not null
  title text not null
  text text not null
  last_error jsonb
  look text not null
  redrive text
  seen_at timestamp with time zone not null default now()
  told_at timestamp with time zone not null default now()
  event_id uuid
  created_at timestamp with time zone not null default now()
  resolved_at timestamp with time zone
  constraint alerts_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint alerts_pkey PRIMARY KEY (id)
  constraint resolved_with_a_time CHECK (((state = 'resolved'::text) = (resolved_at IS NOT NULL)))
  constraint severity_is_known CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
  constraint state_is_known CHECK ((state = ANY (ARRAY['firing'::text, 'resolved'::text])))
  INDEX alerts_by_destination ON outbox.alerts USING btree (destination_id, id)
  INDEX alerts_by_key ON outbox.alerts USING btree (dedup_key, id)
  UNIQUE INDEX alerts_open ON outbox.alerts USING btree (dedup_key, level) WHERE (resolved_at IS NULL)
  INDEX alerts_resolved ON outbox.alerts USING btree (resolved_at) WHERE (resolved_at IS NOT NULL)

table applied_files
  path text not null
  checksum text not null
  applied_at timestamp with time zone not null default now()
  version text
  constraint applied_files_pkey PRIMARY KEY (path)

table attempts partition by RANGE (event_id)
  event_id uuid not null
  subscription_id uuid not null
  number integer not null
  late boolean not null default false
  outcome outbox.attempt_outcome not null
  code text
  started_at timestamp with time zone not null
  duration_ms integer
  trigger text not null
  requested_by text
  worker_id uuid not null
  destination_id uuid not null
  error text
  response jsonb
  constraint attempts_pkey PRIMARY KEY (event_id, subscription_id, number, late)
  constraint code_unless_delivered CHECK (((outcome = 'delivered'::outbox.attempt_outcome) = (code IS NULL)))
  constraint trigger_is_known CHECK ((trigger = ANY (ARRAY['event'::text, 'retry'::text, 'redrive'::text, 'replay'::text])))
  INDEX attempts_with_trouble ON outbox.attempts USING btree (destination_id, started_at) WHERE ((number > 1) OR (outcome <> 'delivered'::outbox.attempt_outcome))

table audit_log
  id bigint not null generated always as identity
  at timestamp with time zone not null default now()
  action text not null
  actor text not null
  db_user text not null default SESSION_USER
  tenant_id text
  destination_id uuid
  detail jsonb not null default '{}'::jsonb
  constraint audit_log_pkey PRIMARY KEY (id)
  INDEX audit_log_by_destination ON outbox.audit_log USING btree (destination_id, at)
  trigger _100_refuse_change BEFORE UPDATE OR TRUNCATE ON outbox.audit_log FOR EACH STATEMENT EXECUTE FUNCTION outbox.tg_refuse_change()
  trigger _200_refuse_delete BEFORE DELETE ON outbox.audit_log FOR EACH ROW EXECUTE FUNCTION outbox.tg_audit_log__refuse_delete()

table dedupe_keys
  tenant_id text not null
  dedupe_key text not null
  event_id uuid not null
  created_at timestamp with time zone not null default now()
  constraint dedupe_keys_pkey PRIMARY KEY (tenant_id, dedupe_key)
  INDEX dedupe_keys_by_age ON outbox.dedupe_keys USING btree (created_at)

table deferred_events
  id bigint not null generated always as identity
  event_ids uuid[] not null
  constraint deferred_events_pkey PRIMARY KEY (id)

table deliveries partition by RANGE (event_id)
  event_id uuid not null
  subscription_id uuid not null
  status outbox.delivery_status not null default 'pending'::outbox.delivery_status
  attempt_count integer not null default 0
  failure_count integer not null default 0
  error_code text
  next_attempt_at timestamp with time zone
  job_at timestamp with time zone
  last_attempt_at timestamp with time zone
  claimed_by uuid
  held_at timestamp with time zone
  held_reason text
  dead_at timestamp with time zone
  finished_at timestamp with time zone
  created_at timestamp with time zone not null default now()
  destination_id uuid not null
  tenant_id text not null
  seq bigint not null
  key text
  redriven_by text
  expires_at timestamp with time zone
  counted_from timestamp with time zone
  replay_id bigint
  redrive_count integer
  lane_seq bigint
  constraint attempts_have_a_start CHECK (((attempt_count = 0) = (last_attempt_at IS NULL)))
  constraint claimed_only_while_pending CHECK (((claimed_by IS NULL) OR (status = 'pending'::outbox.delivery_status)))
  constraint dead_when_dead CHECK (((status = 'dead'::outbox.delivery_status) = (dead_at IS NOT NULL)))
  constraint deliveries_pkey PRIMARY KEY (event_id, subscription_id)
  constraint finished_unless_waiting CHECK (((status = ANY (ARRAY['pending'::outbox.delivery_status, 'held'::outbox.delivery_status])) = (finished_at IS NULL)))
  constraint held_while_held CHECK ((((status = 'held'::outbox.delivery_status) = (held_at IS NOT NULL)) AND ((held_at IS NULL) = (held_reason IS NULL))))
  constraint lane_seq_is_the_seq_of_a_keyed_event CHECK (((lane_seq IS NULL) OR ((lane_seq = seq) AND (key IS NOT NULL))))
  constraint next_attempt_only_while_pending CHECK (((next_attempt_at IS NULL) OR (status = 'pending'::outbox.delivery_status)))
  INDEX deliveries_by_death ON outbox.deliveries USING btree (dead_at) WHERE (dead_at IS NOT NULL)
  INDEX deliveries_by_next_attempt ON outbox.deliveries USING btree (next_attempt_at) WHERE (next_attempt_at IS NOT NULL)
  INDEX deliveries_by_replay ON outbox.deliveries USING btree (replay_id, event_id) WHERE (replay_id IS NOT NULL)
  INDEX deliveries_dead ON outbox.deliveries USING btree (destination_id, dead_at) WHERE (dead_at IS NOT NULL)
  INDEX deliveries_held ON outbox.deliveries USING btree (destination_id, held_reason, event_id) WHERE (held_at IS NOT NULL)
  INDEX deliveries_held_by_age ON outbox.deliveries USING btree (destination_id, COALESCE(counted_from, created_at)) WHERE (held_at IS NOT NULL)
  INDEX deliveries_held_expiring ON outbox.deliveries USING btree (expires_at) WHERE ((held_at IS NOT NULL) AND (expires_at IS NOT NULL))
  INDEX deliveries_in_lanes ON outbox.deliveries USING btree (subscription_id, key, lane_seq) WHERE (lane_seq IS NOT NULL)

table destination_health with (fillfactor=50)
  destination_id uuid not null
  consecutive_failures integer not null default 0
  first_failure_at timestamp with time zone
  last_failure_at timestamp with time zone
  last_success_at timestamp with time zone
  last_error_code text
  last_error text
  window_ends_at timestamp with time zone
  window_attempts integer not null default 0
  window_failures integer not null default 0
  constraint destination_health_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint destination_health_pkey PRIMARY KEY (destination_id)
  INDEX destination_health_by_failure ON outbox.destination_health USING btree (last_failure_at) WHERE (last_failure_at IS NOT NULL)

table destination_secrets
  id bigint not null generated always as identity
  destination_id uuid not null
  name text not null
  version integer not null
  value text
  sealed text
  key_id text
  valid_from timestamp with time zone not null default now()
  valid_until timestamp with time zone
  constraint destination_secrets_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint destination_secrets_destination_id_name_version_key UNIQUE (destination_id, name, version)
  constraint destination_secrets_pkey PRIMARY KEY (id)
  constraint either_plain_or_sealed CHECK (((value IS NULL) <> (sealed IS NULL)))
  constraint sealed_with_a_known_key CHECK (((sealed IS NULL) = (key_id IS NULL)))
  INDEX destination_secrets_by_end ON outbox.destination_secrets USING btree (valid_until) WHERE (valid_until IS NOT NULL)
  INDEX destination_secrets_by_key ON outbox.destination_secrets USING btree (key_id)
  trigger _100_check BEFORE INSERT OR UPDATE ON outbox.destination_secrets FOR EACH ROW EXECUTE FUNCTION outbox.tg_destination_secrets__check()

table destination_types
  name text not null
  label text not null
  config_schema jsonb not null
  secrets_schema jsonb not null
  constraint destination_types_pkey PRIMARY KEY (name)

table destinations
  id uuid not null default outbox.uuid_v7()
  tenant_id text not null default 'default'::text
  name text not null
  type text not null
  version integer not null default 1
  disabled_at timestamp with time zone
  disabled_reason text
  deleted_at timestamp with time zone
  created_at timestamp with time zone not null default now()
  updated_at timestamp with time zone not null default now()
  checked_version integer not null default 0
  problem text
  policy jsonb not null default '{}'::jsonb
  config jsonb not null
  constraint destinations_id_tenant_id_key UNIQUE (id, tenant_id)
  constraint destinations_pkey PRIMARY KEY (id)
  constraint destinations_type_fkey FOREIGN KEY (type) REFERENCES outbox.destination_types(name) ON DELETE RESTRICT
  constraint disabled_with_a_reason CHECK (((disabled_at IS NULL) = (disabled_reason IS NULL)))
  constraint name_is_1_to_128_characters CHECK (((char_length(name) >= 1) AND (char_length(name) <= 128)))
  constraint tenant_id_is_a_tenant_or_all CHECK (((tenant_id = '*'::text) OR (tenant_id ~ '\A[^[:cntrl:][:space:]*]{1,128}\Z'::text)))
  INDEX destinations_by_backlog_alert ON outbox.destinations USING btree (((((policy -> 'alerts'::text) ->> 'backlog_seconds'::text))::numeric)) WHERE (((policy -> 'alerts'::text) ? 'backlog_seconds'::text) AND (deleted_at IS NULL))
  UNIQUE INDEX destinations_by_name ON outbox.destinations USING btree (tenant_id, name) WHERE (deleted_at IS NULL)
  INDEX destinations_by_type ON outbox.destinations USING btree (type)
  INDEX destinations_to_check ON outbox.destinations USING btree (id) WHERE ((checked_version <> version) AND (deleted_at IS NULL))
  trigger _100_check BEFORE INSERT OR UPDATE ON outbox.destinations FOR EACH ROW EXECUTE FUNCTION outbox.tg_destinations__check()
  trigger _200_refuse_delete BEFORE DELETE ON outbox.destinations FOR EACH ROW EXECUTE FUNCTION outbox.tg_destinations__refuse_delete()
  trigger _300_restart_streak AFTER UPDATE ON outbox.destinations FOR EACH ROW WHEN (((new.version <> old.version) AND (NOT (new.disabled_at IS DISTINCT FROM old.disabled_at)) AND (NOT (new.deleted_at IS DISTINCT FROM old.deleted_at)))) EXECUTE FUNCTION outbox.tg_destinations__restart_streak()

table events partition by RANGE (id)
  id uuid not null default outbox.uuid_v7()
  seq bigint not null generated always as identity
  topic text not null
  tenant_id text not null default 'default'::text
  key text
  occurred_at timestamp with time zone not null default clock_timestamp()
  created_at timestamp with time zone not null default now()
  deliver_after timestamp with time zone
  dedupe_key text
  traceparent text
  headers jsonb
  payload json not null
  expires_at timestamp with time zone
  constraint events_pkey PRIMARY KEY (id)
  trigger _010_check BEFORE INSERT ON outbox.events FOR EACH ROW EXECUTE FUNCTION outbox.tg_events__check()
  trigger _050_reserve_topics BEFORE INSERT ON outbox.events FOR EACH ROW WHEN (starts_with(new.topic, 'postrider.'::text)) EXECUTE FUNCTION outbox.tg_events__reserve_topics()
  trigger _100_dedupe BEFORE INSERT ON outbox.events FOR EACH ROW WHEN ((new.dedupe_key IS NOT NULL)) EXECUTE FUNCTION outbox.tg_events__dedupe()
  trigger _200_refuse_update BEFORE UPDATE ON outbox.events FOR EACH STATEMENT EXECUTE FUNCTION outbox.tg_refuse_change()
  trigger _500_fan_out AFTER INSERT ON outbox.events REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION outbox.tg_events__fan_out()

table holds with (fillfactor=50)
  destination_id uuid not null
  reason text not null
  since timestamp with time zone not null default now()
  next_probe_at timestamp with time zone
  probe_count integer not null default 0
  probe_event_id uuid
  probe_subscription_id uuid
  ramp_size integer
  ramp_at timestamp with time zone
  constraint a_probe_is_a_delivery_and_only_while_open CHECK ((((probe_event_id IS NULL) = (probe_subscription_id IS NULL)) AND ((probe_event_id IS NULL) OR (reason = 'circuit_open'::text))))
  constraint holds_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint holds_pkey PRIMARY KEY (destination_id)
  constraint probes_while_open CHECK (((reason = 'circuit_open'::text) = (next_probe_at IS NOT NULL)))
  constraint ramps_while_ramping CHECK ((((reason = 'ramp'::text) = (ramp_size IS NOT NULL)) AND ((ramp_size IS NULL) = (ramp_at IS NULL))))
  constraint reason_is_known CHECK ((reason = ANY (ARRAY['circuit_open'::text, 'ramp'::text, 'limit'::text])))

table instance
  only_row boolean not null default true
  system_identifier bigint not null
  database_oid oid not null
  confirmed_at timestamp with time zone not null default now()
  frontier uuid not null default '00000000-0000-0000-0000-000000000000'::uuid
  next_frontier uuid
  next_frontier_xid xid8
  retention interval not null default '30 days'::interval
  tended_subscription_id uuid
  tended_key text
  constraint instance_pkey PRIMARY KEY (only_row)
  constraint next_frontier_knows_its_transactions CHECK (((next_frontier IS NULL) = (next_frontier_xid IS NULL)))
  constraint there_is_one_instance CHECK (only_row)

table limits with (fillfactor=50)
  destination_id uuid not null
  used_until timestamp with time zone not null default now()
  slowed_to integer
  slowed_at timestamp with time zone
  constraint limits_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint limits_pkey PRIMARY KEY (destination_id)
  constraint slowed_since_a_time CHECK (((slowed_to IS NULL) = (slowed_at IS NULL)))

table pruned_days
  day date not null
  rules text not null
  due_topics text[] not null
  swept_to uuid
  swept_at timestamp with time zone
  left_over bigint not null default 0
  constraint pruned_days_pkey PRIMARY KEY (day)

table replays with (fillfactor=50)
  id bigint not null generated always as identity
  subscription_id uuid not null
  destination_id uuid not null
  tenant_id text not null
  repeats boolean not null
  status text not null default 'running'::text
  waits_for text
  actor text not null
  db_user text not null default SESSION_USER
  since timestamp with time zone not null
  until timestamp with time zone not null
  topics text[]
  filter jsonb
  filter_path jsonpath
  max_deliveries bigint
  rate numeric not null
  allowance numeric not null default 0
  advanced_at timestamp with time zone not null default clock_timestamp()
  due_at timestamp with time zone not null default clock_timestamp()
  after_event_id uuid not null
  until_event_id uuid not null
  settled_event_id uuid
  created_xid xid8
  barrier_xid xid8
  looked_at bigint not null default 0
  repeated bigint not null default 0
  made bigint not null default 0
  left_alone bigint not null default 0
  created_at timestamp with time zone not null default now()
  finished_at timestamp with time zone
  constraint a_barrier_is_for_a_start_position CHECK (((created_xid IS NULL) OR (settled_event_id IS NOT NULL)))
  constraint finished_when_ended CHECK (((status = ANY (ARRAY['done'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
  constraint max_deliveries_is_positive CHECK ((max_deliveries > 0))
  constraint rate_is_one_in_100_seconds_to_10000_a_second CHECK (((rate >= 0.01) AND (rate <= (10000)::numeric)))
  constraint replays_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint replays_pkey PRIMARY KEY (id)
  constraint status_is_known CHECK ((status = ANY (ARRAY['running'::text, 'paused'::text, 'done'::text, 'cancelled'::text])))
  INDEX replays_by_destination ON outbox.replays USING btree (destination_id)
  INDEX replays_running ON outbox.replays USING btree (due_at) WHERE (status = 'running'::text)

table retention
  topics text not null
  keep interval not null
  updated_at timestamp with time zone not null default now()
  constraint keeps_a_day_to_a_hundred_years CHECK (((keep >= '1 day'::interval) AND (keep <= '100 years'::interval)))
  constraint retention_pkey PRIMARY KEY (topics)

table slots
  event_id uuid not null
  subscription_id uuid not null
  destination_id uuid not null
  taken_at timestamp with time zone not null default now()
  constraint slots_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES outbox.destinations(id) ON DELETE CASCADE
  constraint slots_pkey PRIMARY KEY (event_id, subscription_id)
  INDEX slots_by_destination ON outbox.slots USING btree (destination_id)

table subscriptions
  id uuid not null default outbox.uuid_v7()
  destination_id uuid not null
  tenant_id text not null
  enabled boolean not null default true
  topics text[] not null default '{*}'::text[]
  created_at timestamp with time zone not null default now()
  updated_at timestamp with time zone not null default now()
  filter jsonb
  filter_path jsonpath
  ordered boolean not null default false
  on_dead text not null default 'block'::text
  has_lanes boolean not null default false
  constraint on_dead_is_known CHECK ((on_dead = ANY (ARRAY['block'::text, 'skip'::text, 'park'::text])))
  constraint subscriptions_destination_id_tenant_id_fkey FOREIGN KEY (destination_id, tenant_id) REFERENCES outbox.destinations(id, tenant_id) ON DELETE CASCADE
  constraint subscriptions_pkey PRIMARY KEY (id)
  INDEX subscriptions_by_destination ON outbox.subscriptions USING btree (destination_id, tenant_id)
  INDEX subscriptions_by_tenant ON outbox.subscriptions USING btree (tenant_id) WHERE enabled
  INDEX subscriptions_with_lanes ON outbox.subscriptions USING btree (id) WHERE has_lanes
  trigger _100_check BEFORE INSERT OR UPDATE ON outbox.subscriptions FOR EACH ROW EXECUTE FUNCTION outbox.tg_subscriptions__check()

table workers with (fillfactor=50)
  id uuid not null
  pool_id text not null
  hostname text not null
  pid integer not null
  version text not null
  started_at timestamp with time zone not null default now()
  heartbeat_at timestamp with time zone not null default now()
  suspect_event_id uuid
  suspect_subscription_id uuid
  clock_ahead_ms integer
  constraint workers_pkey PRIMARY KEY (id)

type given_attempt
  event_id uuid
  subscription_id uuid
  number integer
  outcome outbox.attempt_outcome
  code text
  error text
  duration_ms integer
  retry_after_ms bigint
  ours boolean
  disable boolean
  response jsonb

type recorded_attempt
  given outbox.given_attempt
  destination_id uuid
  status outbox.delivery_status
  next_attempt_at timestamp with time zone
  job_at timestamp with time zone
  started_at timestamp with time zone
  requested_by text
  expired text
  replay_id bigint

view dead_letters with (security_invoker=true)
  event_id uuid
  subscription_id uuid
  tenant_id text
  topic text
  error_code text
  attempt_count integer
  dead_at timestamp with time zone
  destination text
  destination_id uuid
  error text

view destination_status with (security_invoker=true)
  id uuid
  tenant_id text
  name text
  type text
  health text
  backlog bigint
  oldest_pending interval
  held bigint
  dead bigint
  consecutive_failures integer
  first_failure_at timestamp with time zone
  last_failure_at timestamp with time zone
  last_success_at timestamp with time zone
  last_error_code text
  last_error text
  disabled_at timestamp with time zone
  disabled_reason text
  problem text
  circuit text
  held_back_by text
  next_probe_at timestamp with time zone
  slowed_to integer

view lag with (security_invoker=true)
  live_workers bigint
  pending bigint
  due bigint
  oldest_due interval
  deferred_events bigint
  held bigint
  dead bigint

view lanes with (security_invoker=true)
  subscription_id uuid
  key text
  tenant_id text
  destination_id uuid
  on_dead text
  length bigint
  since timestamp with time zone
  head_event_id uuid
  head_status outbox.delivery_status
  head_held_reason text
  head_attempts integer
  head_next_attempt_at timestamp with time zone
  head_error_code text

view open_alerts with (security_invoker=true)
  kind text
  severity text
  tenant_id text
  destination text
  since timestamp with time zone
  count bigint
  title text
  text text
  error_code text
  error text
  remedy text
  look text
  redrive text
  id bigint
  destination_id uuid
  dedup_key text

view pending with (security_invoker=true)
  event_id uuid
  subscription_id uuid
  tenant_id text
  attempt_count integer
  error_code text
  next_attempt_at timestamp with time zone
  in_flight boolean
  age interval
  destination_id uuid
  seq bigint
  key text

view replay_progress with (security_invoker=true)
  id bigint
  kind text
  status text
  waits_for text
  destination text
  since timestamp with time zone
  until timestamp with time zone
  position timestamp with time zone
  looked_at bigint
  repeated bigint
  made bigint
  left_alone bigint
  delivered bigint
  dead bigint
  waiting bigint
  rate numeric
  max_deliveries bigint
  actor text
  created_at timestamp with time zone
  finished_at timestamp with time zone
  tenant_id text
  destination_id uuid
  subscription_id uuid

view storage with (security_invoker=true)
  kind name
  day date
  partition name
  rows bigint
  bytes bigint
  keep_until timestamp with time zone
  kept_by text

function admit_deliveries(INOUT event_ids uuid[], INOUT subscription_ids uuid[])
  returns record language plpgsql volatile set search_path=pg_catalog, pg_temp
function admit_for(destination_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns outbox.deliveries[] language plpgsql volatile set search_path=pg_catalog, pg_temp
function advance_replay(replay outbox.replays)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_bitmapscan=off set jit=off
function advance_replays()
  returns boolean language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function alert_from_audit(entry outbox.audit_log)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function alert_look(kind text, destination_id uuid)
  returns text language sql immutable parallel safe
function alert_redrive(kind text, destination_id uuid)
  returns text language sql immutable parallel safe
function alert_setting(policy jsonb, name text)
  returns numeric language sql immutable parallel safe
function alert_time(at timestamp with time zone)
  returns text language sql immutable parallel safe
function allowance(destination_id uuid)
  returns integer language sql volatile set search_path=pg_catalog, pg_temp
function attempt_trigger(number integer, requested_by text, replay_id bigint)
  returns text language sql immutable parallel safe
function audit(action text, actor text, tenant_id text DEFAULT NULL::text, destination_id uuid DEFAULT NULL::uuid, detail jsonb DEFAULT '{}'::jsonb)
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function audit_log_kept()
  returns interval language sql immutable parallel safe
function cancel(event_id uuid, subscription_id uuid DEFAULT NULL::uuid, actor text DEFAULT NULL::text)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function cancel_own(event_id uuid DEFAULT NULL::uuid, topic text DEFAULT NULL::text, key text DEFAULT NULL::text)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function cancel_replay(replay_id bigint, actor text DEFAULT NULL::text)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function cancel_waiting(destination_id uuid, subscription_id uuid, reason text)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function change_pool(worker_id uuid, pool_id text)
  returns boolean language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function change_replay(replay_id bigint, action text, actor text, statuses text[], new_status text, new_rate numeric DEFAULT NULL::numeric)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function check_combination(operator text, operand jsonb, place text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_filter_size(filter jsonb)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_json(value jsonb, schema jsonb, field text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_json_schema(schema jsonb, place text DEFAULT 'schema'::text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_jsonpath(source jsonb, place text)
  returns jsonpath language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_jsonpath_regexes(path jsonpath, place text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_operand(operator text, operand jsonb, path text, place text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_policy(policy jsonb)
  returns void language plpgsql immutable set search_path=pg_catalog, pg_temp
function check_regex(pattern text, place text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function check_replay_rate(rate numeric)
  returns void language plpgsql immutable set search_path=pg_catalog, pg_temp
function check_topics(topics text[])
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function circuit_of(hold outbox.holds)
  returns text language sql immutable parallel safe
function circuit_opens(health outbox.destination_health, policy jsonb, ramping boolean)
  returns boolean language sql stable
function claim_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns TABLE(event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer, tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamp with time zone, lane_seq bigint) language plpgsql volatile set search_path=pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set lock_timeout=500ms set jit=off set enable_seqscan=off set enable_bitmapscan=off set enable_hashjoin=on set enable_nestloop=off set enable_mergejoin=off
function claim_followers(worker_id uuid, event_ids uuid[], subscription_ids uuid[], counts integer[])
  returns TABLE(event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer, tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamp with time zone, lane_seq bigint) language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set lock_timeout=500ms set jit=off set enable_seqscan=off set enable_nestloop=on set enable_hashjoin=on set enable_mergejoin=off
function claim_suspect(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns TABLE(event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer, tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamp with time zone, lane_seq bigint) language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_hashjoin=off set enable_mergejoin=off
function close_circuits(destination_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function closed_destinations(destination_ids uuid[])
  returns SETOF uuid language sql stable security definer set search_path=pg_catalog, pg_temp
function compile_comparison(operator text, operand jsonb, path text, negated boolean)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function compile_condition(condition jsonb, path text, place text, negated boolean)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function compile_filter(filter jsonb)
  returns jsonpath language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function compile_operator(operator text, operand jsonb, path text, place text, negated boolean)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function complete_secrets(type text, secrets jsonb)
  returns jsonb language plpgsql volatile set search_path=pg_catalog, pg_temp
function confirm_instance()
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function create_destination(type text, config jsonb, secrets jsonb DEFAULT '{}'::jsonb, topics text[] DEFAULT '{*}'::text[], filter jsonb DEFAULT NULL::jsonb, tenant_id text DEFAULT 'default'::text, name text DEFAULT NULL::text, policy jsonb DEFAULT '{}'::jsonb, actor text DEFAULT NULL::text, start text DEFAULT 'now'::text, ordered boolean DEFAULT false, on_dead text DEFAULT 'block'::text)
  returns uuid language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function create_partition(parent text, day date)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function create_subscription(destination_id uuid, topics text[] DEFAULT '{*}'::text[], filter jsonb DEFAULT NULL::jsonb, actor text DEFAULT NULL::text, start text DEFAULT 'now'::text, ordered boolean DEFAULT false, on_dead text DEFAULT 'block'::text)
  returns uuid language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function dead_letter_words(kind text, name text, count bigint)
  returns text[] language sql immutable parallel safe
function default_policy()
  returns jsonb language sql immutable parallel safe
function delete_destination(destination_id uuid, actor text DEFAULT NULL::text)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function delete_subscription(subscription_id uuid, actor text DEFAULT NULL::text)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function deliver_history(subscription_id uuid, start text, actor text)
  returns bigint language plpgsql volatile set search_path=pg_catalog, pg_temp
function deliver_job(deliveries json, run_at timestamp with time zone, priority integer)
  returns graphile_worker.job_spec language sql immutable
function described_error(code text, message text)
  returns jsonb language sql immutable parallel safe
function destinations_to_check(max integer DEFAULT 100)
  returns SETOF uuid language sql stable security definer set search_path=pg_catalog, pg_temp
function disable_destination(destination_id uuid, reason text DEFAULT 'by hand'::text, actor text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function disable_failing()
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function drop_days(days date[])
  returns date[] language plpgsql volatile set search_path=pg_catalog, pg_temp set lock_timeout=50ms
function effective_policy(policy jsonb)
  returns jsonb language sql immutable parallel safe
function enable_destination(destination_id uuid, actor text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function end_of_range(replay outbox.replays)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_alerts(max integer DEFAULT 1000, slow_every interval DEFAULT '00:00:30'::interval)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off
function evaluate_audit(entry_cursor outbox.alert_cursor, max integer, OUT told integer, OUT seen bigint[])
  returns record language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_backlogs(max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_dead_letters(since timestamp with time zone, max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_rates(max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_secrets(max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function evaluate_streaks(since timestamp with time zone, max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function event_timeline(event_id uuid)
  returns TABLE(at timestamp with time zone, what text, attempt integer, detail text, destination text, subscription_id uuid) language sql stable
function expire(event_ids uuid[], subscription_ids uuid[])
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_hashjoin=off set enable_mergejoin=off
function expire_deliveries(max integer DEFAULT 1000)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off
function expiry_of(delivery outbox.deliveries, policy jsonb)
  returns timestamp with time zone language sql stable parallel safe
function explain_condition(payload jsonb, condition jsonb, path text, field text)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function explain_filter(payload jsonb, filter jsonb)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function explain_match(event_id uuid)
  returns TABLE(destination text, matched boolean, reason text, subscription_id uuid, destination_id uuid) language sql stable
function explain_operator(payload jsonb, operator text, operand jsonb, path text, field text)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function fail_probes(recorded outbox.recorded_attempt[])
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function failing_destinations()
  returns TABLE(destination_id uuid, window_seconds numeric, attempts bigint, failures bigint, since timestamp with time zone) language sql stable
function failures_max(policy jsonb)
  returns numeric language sql immutable parallel safe
function fan_out_deferred(max_events integer DEFAULT 10000)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function fan_out_deferred_among(event_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function fan_out_events(event_ids uuid[], lost_only boolean DEFAULT false)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off set enable_hashjoin=off set enable_mergejoin=off
function filter_matches(payload jsonb, path jsonpath)
  returns boolean language sql immutable parallel safe
function filters_by_root(bare_path text)
  returns boolean language plpgsql immutable strict parallel safe set search_path=pg_catalog, pg_temp
function finish_replay(replay_id bigint, status text)
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function followers_of(subscription_id uuid, key text, lane_seq bigint, count integer)
  returns SETOF outbox.deliveries language sql stable
function forget_failures(destination_id uuid)
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function free_slots(event_ids uuid[], subscription_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function generate_secret()
  returns text language sql volatile set search_path=pg_catalog, pg_temp
function get_destination(destination_id uuid)
  returns outbox.destinations language plpgsql volatile set search_path=pg_catalog, pg_temp
function get_subscription(subscription_id uuid)
  returns outbox.subscriptions language plpgsql volatile set search_path=pg_catalog, pg_temp
function gets_own_events(destination_id uuid)
  returns boolean language sql stable
function grant_functions(role_name name, signatures text[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function grant_inspector(role_name name)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function grant_operator(role_name name)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function grant_producer(role_name name)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function grant_worker(role_name name)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function greatest_of(ids uuid[])
  returns uuid language sql immutable parallel safe
function hand_over_job(job_id bigint, version integer)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function has_snapshot_before(xid xid8)
  returns boolean language sql volatile set search_path=pg_catalog, pg_temp
function heartbeat(worker_id uuid, clock timestamp with time zone DEFAULT NULL::timestamp with time zone)
  returns boolean language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function hold_strays()
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_bitmapscan=off
function insert_own_event(topic text, tenant_id text, payload json, key text DEFAULT NULL::text)
  returns uuid language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function insert_replay(replay outbox.replays)
  returns bigint language sql volatile set search_path=pg_catalog, pg_temp
function is_any_limited(subscription_ids uuid[])
  returns boolean language sql stable
function is_live(worker_id uuid)
  returns boolean language sql stable
function is_of_this_transaction(inserted_by xid)
  returns boolean language plpgsql volatile set search_path=pg_catalog, pg_temp
function is_redriven_out(redrive_count integer, destination_id uuid)
  returns boolean language sql stable strict set search_path=pg_catalog, pg_temp
function is_same_instance(instance outbox.instance)
  returns boolean language sql stable security definer set search_path=pg_catalog, pg_temp
function jobs_are_behind()
  returns boolean language sql stable
function json_array_problem(value jsonb, schema jsonb, place text)
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_choice_problem(value jsonb, choices jsonb, exclusive boolean, place text)
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_fits_type(value jsonb, type jsonb)
  returns boolean language sql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_means_choice(value jsonb, choice jsonb)
  returns boolean language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_number_problem(value numeric, schema jsonb, place text)
  returns text[] language sql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_object_problem(value jsonb, schema jsonb, place text)
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_problem(value jsonb, schema jsonb, place text)
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_schema_problem(schema jsonb)
  returns text language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_string_problem(value text, schema jsonb, place text)
  returns text[] language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function json_type_words(type jsonb)
  returns text language sql immutable strict parallel safe set search_path=pg_catalog, pg_temp
function keep_of(topic text, otherwise interval)
  returns interval language sql stable set search_path=pg_catalog, pg_temp
function keeps_some(for_day date, day_end timestamp with time zone, otherwise interval)
  returns boolean language plpgsql volatile set search_path=pg_catalog, pg_temp set jit=off
function label_lane(subscription_id uuid, key text, max integer DEFAULT 1000)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off
function lane_reason(subscription_id uuid, key text)
  returns text language sql stable set search_path=pg_catalog, pg_temp
function last_error_of(destination_id uuid)
  returns jsonb language sql stable
function leads_lane(subscription_id uuid, key text, lane_seq bigint)
  returns boolean language plpgsql stable set search_path=pg_catalog, pg_temp set enable_seqscan=off
function least_of(ids uuid[])
  returns uuid language sql immutable parallel safe
function leave_lanes(event_ids uuid[], subscription_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function leave_worker(worker_id uuid)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function line_up(INOUT event_ids uuid[], INOUT subscription_ids uuid[])
  returns record language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_hashjoin=on set jit=off
function load_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns TABLE(event_id uuid, subscription_id uuid, attempt integer, destination_id uuid, destination_version integer, tenant_id text, topic text, key text, payload text, headers jsonb, traceparent text, occurred_at timestamp with time zone, lane_seq bigint) language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function load_destinations(destination_ids uuid[])
  returns TABLE(id uuid, version integer, tenant_id text, type text, name text, config jsonb, policy jsonb, secrets jsonb) language sql stable security definer set search_path=pg_catalog, pg_temp
function maintain_partitions(days_ahead integer DEFAULT 7)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set lock_timeout=2s
function mark_checked(destination_id uuid, version integer, problem text)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function max_age(policy jsonb)
  returns interval language sql immutable parallel safe
function may_fan_out_deferred()
  returns boolean language sql volatile set search_path=pg_catalog, pg_temp
function move_alert_cursor(settled boolean)
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function new_dead_letters(since timestamp with time zone)
  returns TABLE(destination_id uuid, kind text, dedup_key text, open_alert_id bigint, count bigint, first_at timestamp with time zone, last_at timestamp with time zone) language sql stable
function new_deliveries(tenant_id text, topics text[], payload jsonb, deliver_after timestamp with time zone)
  returns TABLE(subscription_id uuid, destination_id uuid, status outbox.delivery_status, held_at timestamp with time zone, held_reason text, next_attempt_at timestamp with time zone, ordered boolean) language sql stable
function new_replay(subscription outbox.subscriptions, since timestamp with time zone, until timestamp with time zone, rate numeric, actor text)
  returns outbox.replays language plpgsql volatile set search_path=pg_catalog, pg_temp
function oldest_held(destination_id uuid, max integer)
  returns SETOF outbox.deliveries language sql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_bitmapscan=off
function open_before(until timestamp with time zone, newest xid DEFAULT NULL::xid)
  returns text language sql stable
function open_circuit(destination_id uuid, policy jsonb, failures integer, error text)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function overdue_destinations()
  returns TABLE(destination_id uuid, since timestamp with time zone, waiting bigint) language sql stable
function pause_replay(replay_id bigint, actor text DEFAULT NULL::text)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function pending_deliveries()
  returns SETOF outbox.deliveries language sql stable
function pg_notify(channel text, payload text)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function portable_pattern(pattern text)
  returns text language plpgsql immutable strict parallel safe set search_path=pg_catalog, pg_temp
function postpone_deliveries(event_ids uuid[], subscription_ids uuid[], delays_ms integer[])
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set jit=off set enable_hashjoin=off set enable_mergejoin=off
function probe_delay(policy jsonb, probes integer)
  returns interval language sql immutable parallel safe
function promote_lanes(subscription_ids uuid[], keys text[])
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set lock_timeout=500ms set enable_seqscan=off set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function prune(retention interval DEFAULT '30 days'::interval)
  returns TABLE(partition text, dropped boolean, reason text) language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function prune_audit_log(retention interval, actor text DEFAULT NULL::text)
  returns bigint language plpgsql volatile set search_path=pg_catalog, pg_temp
function prune_rows(max integer DEFAULT 1000)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set lock_timeout=50ms set enable_seqscan=off set jit=off
function put_back(deliveries outbox.deliveries[], redriven_by text DEFAULT NULL::text, priority integer DEFAULT 0)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function put_off_job(job_id bigint)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function quarantine(event_ids uuid[], subscription_ids uuid[])
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_hashjoin=off set enable_mergejoin=off
function raise_alert(destination outbox.destinations, kind text, severity text, dedup_key text, since timestamp with time zone, count bigint, title text, text text, last_error jsonb DEFAULT NULL::jsonb, level integer DEFAULT 0, seen_at timestamp with time zone DEFAULT now())
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function raise_old_jobs(max integer DEFAULT 8)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set jit=off
function reconcile(max integer DEFAULT 10000)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function record_attempts(worker_id uuid, attempts json)
  returns TABLE(event_id uuid, subscription_id uuid, status text, next_attempt_at timestamp with time zone) language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set jit=off set enable_hashjoin=off set enable_mergejoin=off
function record_delivered(worker_id uuid, event_ids uuid[], subscription_ids uuid[], numbers integer[], durations_ms integer[], responses jsonb, response_numbers integer[])
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set jit=off set enable_seqscan=off set enable_bitmapscan=off set enable_hashjoin=on set enable_nestloop=off set enable_mergejoin=off
function record_failed(worker_id uuid, given outbox.given_attempt[])
  returns outbox.recorded_attempt[] language plpgsql volatile set search_path=pg_catalog, pg_temp
function record_failures(recorded outbox.recorded_attempt[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function record_late_answers(worker_id uuid, given outbox.given_attempt[], recorded outbox.recorded_attempt[])
  returns void language sql volatile set search_path=pg_catalog, pg_temp set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function record_success(destination_ids uuid[], counts integer[])
  returns void language sql volatile set search_path=pg_catalog, pg_temp set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function redrive(event_id uuid DEFAULT NULL::uuid, subscription_id uuid DEFAULT NULL::uuid, destination_id uuid DEFAULT NULL::uuid, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, error_code text DEFAULT NULL::text, statuses outbox.delivery_status[] DEFAULT '{dead,held}'::outbox.delivery_status[], max integer DEFAULT 1000, dry_run boolean DEFAULT false, actor text DEFAULT NULL::text)
  returns SETOF outbox.deliveries language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function refresh_job_statistics()
  returns boolean language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function refuse_input(place text, problem text, remedy text DEFAULT NULL::text)
  returns void language plpgsql immutable parallel safe set search_path=pg_catalog, pg_temp
function register_worker(worker_id uuid, pool_id text, hostname text, pid integer, version text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function release_held()
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function release_limited(hold outbox.holds)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function remedy(code text)
  returns text language sql immutable parallel safe
function replace_secret(destination_id uuid, name text, value text, overlap interval)
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp
function replay(subscription_id uuid, since timestamp with time zone, until timestamp with time zone DEFAULT now(), topics text[] DEFAULT NULL::text[], filter jsonb DEFAULT NULL::jsonb, dry_run boolean DEFAULT false, max bigint DEFAULT NULL::bigint, rate numeric DEFAULT 100, actor text DEFAULT NULL::text)
  returns TABLE(replay_id bigint, matched bigint, repeats bigint, makes bigint, leaves_alone bigint, oldest timestamp with time zone, newest timestamp with time zone, takes interval) language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function replay_candidates(replay outbox.replays, max integer)
  returns TABLE(event_id uuid, fate text) language sql stable set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off set enable_hashjoin=off set enable_mergejoin=off
function replay_obstacle(replay outbox.replays)
  returns text language plpgsql stable set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_bitmapscan=off set enable_sort=off set jit=off
function requested_by(delivery outbox.deliveries, failures_since integer)
  returns text language sql immutable parallel safe
function require_same_instance()
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function resolve_alert(dedup_key text, title text, text text, kind text DEFAULT NULL::text)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function resolve_dead_letters(max integer)
  returns integer language sql volatile set search_path=pg_catalog, pg_temp
function resolve_others(kind text, present text[], title text, text text, max integer)
  returns integer language sql volatile set search_path=pg_catalog, pg_temp
function resume_lanes(deliveries outbox.deliveries[])
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function resume_replay(replay_id bigint, rate numeric DEFAULT NULL::numeric, actor text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function retention_rules(day_end timestamp with time zone, otherwise interval)
  returns text language sql stable set search_path=pg_catalog, pg_temp
function retry_delay(policy jsonb, failures integer, retry_after interval, luck double precision)
  returns interval language sql immutable parallel safe
function rotate_secret(destination_id uuid, overlap interval DEFAULT '24:00:00'::interval, value text DEFAULT NULL::text, name text DEFAULT 'signing_secret'::text, actor text DEFAULT NULL::text)
  returns text language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function schedule_due(max integer DEFAULT 10000)
  returns integer language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off
function seal_secret(secret_id bigint, present text, sealed text, key_id text)
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp
function secrets_to_seal(key_id text, max integer DEFAULT 100)
  returns SETOF uuid language sql volatile security definer set search_path=pg_catalog, pg_temp
function send_probe(hold outbox.holds)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp
function set_retention(topics text, keep interval, actor text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function settle_lanes(event_ids uuid[], subscription_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set enable_nestloop=on set enable_hashjoin=off set enable_mergejoin=off
function settle_unclaimed(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_hashjoin=off set enable_mergejoin=off
function slow_down(recorded outbox.recorded_attempt[])
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function speed_up()
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function start_ramp(destination_id uuid)
  returns void language sql volatile set search_path=pg_catalog, pg_temp
function start_time(start text)
  returns timestamp with time zone language plpgsql stable set search_path=pg_catalog, pg_temp
function suggest_topic(wrong text)
  returns text language sql immutable strict parallel safe set search_path=pg_catalog, pg_temp
function sweep_workers()
  returns SETOF uuid language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function takes_followers(destination outbox.destinations)
  returns boolean language sql stable
function tell_alert(alert outbox.alerts, kind text DEFAULT NULL::text)
  returns uuid language plpgsql volatile set search_path=pg_catalog, pg_temp
function tenant_of(deliveries outbox.deliveries[])
  returns text language sql immutable set search_path=pg_catalog, pg_temp
function tend_lanes(max integer DEFAULT 1000)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off
function test_destination(destination_id uuid, actor text DEFAULT NULL::text)
  returns uuid language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function tg_audit_log__refuse_delete()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_destination_secrets__check()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_destinations__check()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_destinations__refuse_delete()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_destinations__restart_streak()
  returns trigger language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function tg_events__check()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_events__dedupe()
  returns trigger language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function tg_events__fan_out()
  returns trigger language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set jit=off set enable_hashjoin=off set enable_mergejoin=off
function tg_events__reserve_topics()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_refuse_change()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function tg_subscriptions__check()
  returns trigger language plpgsql volatile set search_path=pg_catalog, pg_temp
function time_of(id uuid)
  returns timestamp with time zone language sql immutable parallel safe
function topic_candidates(topic text)
  returns text[] language plpgsql immutable strict parallel safe set search_path=pg_catalog, pg_temp
function unclaim_deliveries(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set enable_hashjoin=off set enable_mergejoin=off
function unclaim_followers(worker_id uuid, event_ids uuid[], subscription_ids uuid[])
  returns void language sql volatile security definer set search_path=pg_catalog, pg_temp set enable_seqscan=off
function unfinished_of(partition text, day_end timestamp with time zone, max integer DEFAULT 100000)
  returns text language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off
function update_destination(destination_id uuid, config jsonb DEFAULT NULL::jsonb, policy jsonb DEFAULT NULL::jsonb, name text DEFAULT NULL::text, secrets jsonb DEFAULT NULL::jsonb, actor text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function update_subscription(subscription_id uuid, topics text[] DEFAULT NULL::text[], filter jsonb DEFAULT NULL::jsonb, enabled boolean DEFAULT NULL::boolean, actor text DEFAULT NULL::text, ordered boolean DEFAULT NULL::boolean, on_dead text DEFAULT NULL::text)
  returns void language plpgsql volatile security definer set search_path=pg_catalog, pg_temp
function uuid_at(at timestamp with time zone)
  returns uuid language sql immutable parallel safe
function uuid_v7()
  returns uuid language sql volatile parallel safe
function wake(event_ids uuid[], subscription_ids uuid[], run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT NULL::integer)
  returns void language plpgsql volatile set search_path=outbox, pg_catalog, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set jit=off
function wake_followers(worker_ids uuid[])
  returns void language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off
function wake_forgotten(first uuid, last uuid, max integer)
  returns integer language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off set jit=off
function woken_before(deliveries integer)
  returns integer language plpgsql volatile
function worker_deaths(event_id uuid, subscription_id uuid)
  returns integer language sql stable set search_path=pg_catalog, pg_temp
function worker_lease()
  returns interval language sql immutable parallel safe

producer may
  execute on outbox.cancel_own(uuid,text,text)
  insert on outbox.events (dedupe_key, deliver_after, expires_at, headers, key, occurred_at, payload, tenant_id, topic, traceparent)
  execute on outbox.uuid_v7()
  usage on schema outbox

inspector may
  select on outbox.alerts
  select on outbox.attempts (code, destination_id, duration_ms, error, event_id, late, number, outcome, requested_by, started_at, subscription_id, trigger, worker_id)
  select on outbox.audit_log
  execute on outbox.circuit_of(outbox.holds)
  select on outbox.dead_letters
  select on outbox.deferred_events
  select on outbox.deliveries
  select on outbox.destination_health
  select on outbox.destination_status
  select on outbox.destination_types
  select on outbox.destinations (checked_version, created_at, deleted_at, disabled_at, disabled_reason, id, name, policy, problem, tenant_id, type, updated_at, version)
  execute on outbox.event_timeline(uuid)
  select on outbox.events (created_at, dedupe_key, deliver_after, expires_at, id, key, occurred_at, seq, tenant_id, topic, traceparent)
  select on outbox.holds
  select on outbox.instance
  select on outbox.lag
  select on outbox.lanes
  select on outbox.limits
  select on outbox.open_alerts
  execute on outbox.open_before(timestamp with time zone,xid)
  select on outbox.pending
  execute on outbox.pending_deliveries()
  select on outbox.pruned_days
  execute on outbox.remedy(text)
  select on outbox.replay_progress
  select on outbox.replays (actor, after_event_id, created_at, db_user, destination_id, finished_at, id, left_alone, looked_at, made, max_deliveries, rate, repeated, repeats, since, status, subscription_id, tenant_id, topics, until, until_event_id, waits_for)
  select on outbox.retention
  select on outbox.storage
  select on outbox.subscriptions (created_at, destination_id, enabled, id, on_dead, ordered, tenant_id, topics, updated_at)
  execute on outbox.time_of(uuid)
  execute on outbox.worker_lease()
  select on outbox.workers
  usage on schema outbox

operator may
  select on outbox.alerts
  select on outbox.attempts (code, destination_id, duration_ms, error, event_id, late, number, outcome, requested_by, started_at, subscription_id, trigger, worker_id)
  select on outbox.audit_log
  execute on outbox.cancel(uuid,uuid,text)
  execute on outbox.cancel_replay(bigint,text)
  execute on outbox.circuit_of(outbox.holds)
  execute on outbox.confirm_instance()
  execute on outbox.create_destination(text,jsonb,jsonb,text[],jsonb,text,text,jsonb,text,text,boolean,text)
  execute on outbox.create_subscription(uuid,text[],jsonb,text,text,boolean,text)
  select on outbox.dead_letters
  select on outbox.deferred_events
  execute on outbox.delete_destination(uuid,text)
  execute on outbox.delete_subscription(uuid,text)
  select on outbox.deliveries
  select on outbox.destination_health
  select on outbox.destination_status
  select on outbox.destination_types
  select on outbox.destinations (checked_version, created_at, deleted_at, disabled_at, disabled_reason, id, name, policy, problem, tenant_id, type, updated_at, version)
  select on outbox.destinations
  execute on outbox.disable_destination(uuid,text,text)
  execute on outbox.enable_destination(uuid,text)
  execute on outbox.event_timeline(uuid)
  select on outbox.events (created_at, dedupe_key, deliver_after, expires_at, id, key, occurred_at, seq, tenant_id, topic, traceparent)
  select on outbox.holds
  select on outbox.instance
  select on outbox.lag
  select on outbox.lanes
  select on outbox.limits
  select on outbox.open_alerts
  execute on outbox.open_before(timestamp with time zone,xid)
  execute on outbox.pause_replay(bigint,text)
  select on outbox.pending
  execute on outbox.pending_deliveries()
  execute on outbox.prune(interval)
  select on outbox.pruned_days
  execute on outbox.redrive(uuid,uuid,uuid,timestamp with time zone,timestamp with time zone,text,outbox.delivery_status[],integer,boolean,text)
  execute on outbox.remedy(text)
  execute on outbox.replay(uuid,timestamp with time zone,timestamp with time zone,text[],jsonb,boolean,bigint,numeric,text)
  select on outbox.replay_progress
  select on outbox.replays (actor, after_event_id, created_at, db_user, destination_id, finished_at, id, left_alone, looked_at, made, max_deliveries, rate, repeated, repeats, since, status, subscription_id, tenant_id, topics, until, until_event_id, waits_for)
  select on outbox.replays
  execute on outbox.resume_replay(bigint,numeric,text)
  select on outbox.retention
  execute on outbox.rotate_secret(uuid,interval,text,text,text)
  execute on outbox.set_retention(text,interval,text)
  select on outbox.storage
  select on outbox.subscriptions (created_at, destination_id, enabled, id, on_dead, ordered, tenant_id, topics, updated_at)
  select on outbox.subscriptions
  execute on outbox.test_destination(uuid,text)
  execute on outbox.time_of(uuid)
  execute on outbox.update_destination(uuid,jsonb,jsonb,text,jsonb,text)
  execute on outbox.update_subscription(uuid,text[],jsonb,boolean,text,boolean,text)
  execute on outbox.worker_lease()
  select on outbox.workers
  usage on schema outbox

worker may
  execute on outbox.advance_replays()
  select on outbox.applied_files
  execute on outbox.change_pool(uuid,text)
  execute on outbox.claim_followers(uuid,uuid[],uuid[],integer[])
  execute on outbox.closed_destinations(uuid[])
  execute on outbox.destinations_to_check(integer)
  execute on outbox.disable_failing()
  execute on outbox.evaluate_alerts(integer,interval)
  execute on outbox.expire_deliveries(integer)
  execute on outbox.fan_out_deferred(integer)
  execute on outbox.hand_over_job(bigint,integer)
  execute on outbox.heartbeat(uuid,timestamp with time zone)
  execute on outbox.hold_strays()
  execute on outbox.leave_worker(uuid)
  execute on outbox.load_deliveries(uuid,uuid[],uuid[])
  execute on outbox.load_destinations(uuid[])
  execute on outbox.maintain_partitions(integer)
  execute on outbox.mark_checked(uuid,integer,text)
  execute on outbox.postpone_deliveries(uuid[],uuid[],integer[])
  execute on outbox.prune(interval)
  execute on outbox.prune_rows(integer)
  execute on outbox.put_off_job(bigint)
  execute on outbox.raise_old_jobs(integer)
  execute on outbox.reconcile(integer)
  execute on outbox.record_attempts(uuid,json)
  execute on outbox.record_delivered(uuid,uuid[],uuid[],integer[],integer[],jsonb,integer[])
  execute on outbox.refresh_job_statistics()
  execute on outbox.register_worker(uuid,text,text,integer,text)
  execute on outbox.release_held()
  execute on outbox.require_same_instance()
  execute on outbox.schedule_due(integer)
  execute on outbox.seal_secret(bigint,text,text,text)
  execute on outbox.secrets_to_seal(text,integer)
  execute on outbox.sweep_workers()
  execute on outbox.unclaim_deliveries(uuid,uuid[],uuid[])
  execute on outbox.unclaim_followers(uuid,uuid[],uuid[])
  usage on schema graphile_worker
  usage on schema outbox
