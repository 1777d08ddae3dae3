create or replace function outbox.put_off_job(job_id bigint) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into graphile_worker._private_jobs (task_id, payload, priority, max_attempts, created_at, run_at)
  select j.task_id, j.payload, j.priority, j.max_attempts, j.created_at,
    now() + (1 + random()) * least(greatest((now() - j.created_at) / 4, interval '1 second'), interval '1 minute')
  from graphile_worker._private_jobs as j
  where j.id = job_id
$$;
revoke all on function outbox.put_off_job(bigint) from public;
comment on function outbox.put_off_job(bigint) is
  'A worker leaves a job that it cannot do now to whoever can: a copy with all its attempts runs later, the more rarely the longer it has waited, every two minutes at the most. The worker then completes its own; if it is lost before, there are two jobs for the same deliveries, and the claim decides.';

create or replace function outbox.hand_over_job(job_id bigint, version integer) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into graphile_worker._private_tasks (identifier)
  values ('outbox_deliver_v' || version)
  on conflict (identifier) do nothing;

  insert into graphile_worker._private_jobs (task_id, payload, priority, max_attempts, created_at)
  select t.id, j.payload, j.priority, j.max_attempts, j.created_at
  from graphile_worker._private_jobs as j
  join graphile_worker._private_tasks as t on t.identifier = 'outbox_deliver_v' || version
  where j.id = job_id;
$$;
revoke all on function outbox.hand_over_job(bigint, integer) from public;
comment on function outbox.hand_over_job(bigint, integer) is
  'A worker hands a job of a newer version over to workers of that version: a copy with all its attempts becomes a job of the task outbox_deliver_v2 (or 3, ...), which a worker that does not know the version never takes, and one that does takes beside outbox_deliver. The worker then completes its own.';
