create or replace function outbox.raise_old_jobs(max integer default 8) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_raised integer;
begin
  if not pg_try_advisory_xact_lock(hashtext('outbox.raise_old_jobs')) then
    return 0;
  end if;
  select count(*) into v_raised
  from graphile_worker.reschedule_jobs(
    array(
      select j.id
      from graphile_worker.jobs as j
      where j.task_identifier = 'outbox_deliver'
      and j.priority > 0
      and j.run_at < now() - interval '10 seconds'
      and j.locked_at is null
      and j.attempts < j.max_attempts
      order by j.run_at
      limit greatest(raise_old_jobs.max - (
        select count(*)
        from graphile_worker.jobs as r
        where r.task_identifier = 'outbox_deliver'
        and r.priority = 0
        and r.updated_at > r.created_at
      ), 0)
    ),
    priority => 0);
  return v_raised;
end
$$;
revoke all on function outbox.raise_old_jobs(integer) from public;
comment on function outbox.raise_old_jobs(integer) is
  'Jobs of low priority that could have run for 10 seconds get the highest, the oldest first: retries and the rest of a flood go on while first attempts never end. Only so many at a time (max), the running ones included: what is raised takes workers from the others. Workers call it once a second. Returns how many.';
