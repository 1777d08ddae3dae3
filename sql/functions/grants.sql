-- Least privilege, for roles that the installation makes itself (roles belong to the cluster, not to a migration).

create or replace function outbox.grant_functions(role_name name, signatures text[]) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_signature text;
begin
  execute format('grant usage on schema outbox to %I', role_name);
  foreach v_signature in array signatures loop
    execute format('grant execute on function outbox.%s to %I', v_signature, role_name);
  end loop;
end
$$;
revoke all on function outbox.grant_functions(name, text[]) from public;
comment on function outbox.grant_functions(name, text[]) is 'Lets a role call these functions of the schema.';

create or replace function outbox.grant_producer(role_name name) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.grant_functions(role_name, array['uuid_v7()', 'cancel_own(uuid, text, text)']);
  execute format(
    'grant insert (topic, payload, tenant_id, key, headers, traceparent, dedupe_key, deliver_after, expires_at, occurred_at) on outbox.events to %I',
    role_name);
end
$$;
revoke all on function outbox.grant_producer(name) from public;
comment on function outbox.grant_producer(name) is 'A producer may insert events, and take back those of the same transaction, and nothing else: not even read them.';

create or replace function outbox.grant_inspector(role_name name) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.grant_functions(role_name, array[
    'worker_lease()', 'pending_deliveries()', 'event_timeline(uuid)', 'circuit_of(outbox.holds)', 'time_of(uuid)', 'remedy(text)',
    'open_before(timestamptz, xid)'
  ]);
  execute format(
    'grant select (id, seq, topic, tenant_id, key, occurred_at, created_at, deliver_after, expires_at, dedupe_key, traceparent) on outbox.events to %I',
    role_name);
  execute format(
    'grant select (id, tenant_id, name, type, version, disabled_at, disabled_reason, deleted_at, created_at, updated_at, checked_version, problem, policy) on outbox.destinations to %I',
    role_name);
  execute format(
    'grant select (event_id, subscription_id, number, late, outcome, code, started_at, duration_ms, trigger, requested_by, worker_id, destination_id, error) on outbox.attempts to %I',
    role_name);
  execute format(
    'grant select on outbox.deliveries, outbox.deferred_events, outbox.destination_types, outbox.destination_health, outbox.holds, outbox.limits, outbox.workers, outbox.instance, outbox.audit_log, outbox.alerts, outbox.retention, outbox.pruned_days, outbox.open_alerts, outbox.pending, outbox.dead_letters, outbox.destination_status, outbox.lanes, outbox.lag, outbox.storage, outbox.replay_progress to %I',
    role_name);
  execute format(
    'grant select (id, subscription_id, destination_id, tenant_id, repeats, status, waits_for, actor, db_user, since, until, topics, max_deliveries, rate, after_event_id, until_event_id, looked_at, repeated, made, left_alone, created_at, finished_at) on outbox.replays to %I',
    role_name);
  execute format('grant select (id, destination_id, tenant_id, enabled, topics, ordered, on_dead, created_at, updated_at) on outbox.subscriptions to %I', role_name);
end
$$;
revoke all on function outbox.grant_inspector(name) from public;
comment on function outbox.grant_inspector(name) is
  'An inspector may read how things stand: no payloads, no headers, no config, no filters, no secrets.';

create or replace function outbox.grant_operator(role_name name) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.grant_inspector(role_name);
  execute format('grant select on outbox.destinations, outbox.subscriptions, outbox.replays to %I', role_name);
  perform outbox.grant_functions(role_name, array[
    'create_destination(text, jsonb, jsonb, text[], jsonb, text, text, jsonb, text, text, boolean, text)',
    'update_destination(uuid, jsonb, jsonb, text, jsonb, text)',
    'delete_destination(uuid, text)',
    'enable_destination(uuid, text)',
    'disable_destination(uuid, text, text)',
    'rotate_secret(uuid, interval, text, text, text)',
    'create_subscription(uuid, text[], jsonb, text, text, boolean, text)',
    'update_subscription(uuid, text[], jsonb, boolean, text, boolean, text)',
    'delete_subscription(uuid, text)',
    'redrive(uuid, uuid, uuid, timestamptz, timestamptz, text, outbox.delivery_status[], integer, boolean, text)',
    'cancel(uuid, uuid, text)',
    'replay(uuid, timestamptz, timestamptz, text[], jsonb, boolean, bigint, numeric, text)',
    'pause_replay(bigint, text)',
    'resume_replay(bigint, numeric, text)',
    'cancel_replay(bigint, text)',
    'test_destination(uuid, text)',
    'prune(interval)',
    'set_retention(text, interval, text)',
    'confirm_instance()'
  ]);
end
$$;
revoke all on function outbox.grant_operator(name) from public;
comment on function outbox.grant_operator(name) is
  'An operator may inspect, manage destinations and subscriptions, redrive, replay and cancel: still no payloads, and secrets only to write.';

create or replace function outbox.grant_worker(role_name name) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text;
begin
  perform outbox.grant_functions(role_name, array[
    'require_same_instance()',
    'register_worker(uuid, text, text, integer, text)',
    'heartbeat(uuid, timestamptz)',
    'leave_worker(uuid)',
    'change_pool(uuid, text)',
    'sweep_workers()',
    'load_deliveries(uuid, uuid[], uuid[])',
    'claim_followers(uuid, uuid[], uuid[], integer[])',
    'unclaim_followers(uuid, uuid[], uuid[])',
    'unclaim_deliveries(uuid, uuid[], uuid[])',
    'put_off_job(bigint)',
    'hand_over_job(bigint, integer)',
    'postpone_deliveries(uuid[], uuid[], integer[])',
    'record_delivered(uuid, uuid[], uuid[], integer[], integer[], jsonb, integer[])',
    'record_attempts(uuid, json)',
    'load_destinations(uuid[])',
    'closed_destinations(uuid[])',
    'destinations_to_check(integer)',
    'mark_checked(uuid, integer, text)',
    'secrets_to_seal(text, integer)',
    'seal_secret(bigint, text, text, text)',
    'schedule_due(integer)',
    'raise_old_jobs(integer)',
    'release_held()',
    'hold_strays()',
    'disable_failing()',
    'expire_deliveries(integer)',
    'fan_out_deferred(integer)',
    'reconcile(integer)',
    'advance_replays()',
    'evaluate_alerts(integer, interval)',
    'refresh_job_statistics()',
    'maintain_partitions(integer)',
    'prune(interval)',
    'prune_rows(integer)'
  ]);
  execute format('grant select on outbox.applied_files to %I', role_name);
  execute format('grant usage on schema graphile_worker to %I', role_name);
  execute format('grant select, insert, update, delete on all tables in schema graphile_worker to %I', role_name);
  execute format('grant usage on all sequences in schema graphile_worker to %I', role_name);
  execute format('grant execute on all functions in schema graphile_worker to %I', role_name);
  for v_table in
    select c.relname
    from pg_class as c
    where c.relnamespace = 'graphile_worker'::regnamespace
    and c.relrowsecurity
  loop
    execute format('drop policy if exists %I on graphile_worker.%I', 'postrider_' || role_name, v_table);
    execute format('create policy %I on graphile_worker.%I to %I using (true) with check (true)', 'postrider_' || role_name, v_table, role_name);
  end loop;
end
$$;
revoke all on function outbox.grant_worker(name) from public;
comment on function outbox.grant_worker(name) is
  'A worker may run jobs and call the functions that deliver; it reads and writes the tables only through them. graphile-worker''s tables have row security without policies: this adds one for the role.';
