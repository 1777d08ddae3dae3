create or replace function outbox.refresh_job_statistics() returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_few constant integer := 500;
begin
  if (select c.reltuples from pg_class as c where c.oid = 'graphile_worker._private_jobs'::regclass) > v_few
    or not exists (select from graphile_worker.jobs offset 2 * v_few limit 1)
    or not pg_try_advisory_xact_lock(hashtext('outbox.refresh_job_statistics')) then
    return false;
  end if;
  analyze graphile_worker._private_jobs;
  return true;
end
$$;
revoke all on function outbox.refresh_job_statistics() from public;
comment on function outbox.refresh_job_statistics() is
  'Analyses the job table when a backlog has grown on one that was last seen nearly empty: the plan that graphile-worker made for an empty queue reads the whole table for each job, until the next analysis.';
