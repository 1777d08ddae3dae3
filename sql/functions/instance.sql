create or replace function outbox.is_same_instance(instance outbox.instance) returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select instance.system_identifier = (select c.system_identifier from pg_control_system() as c)
    and instance.database_oid = (select d.oid from pg_database as d where d.datname = current_database())
$$;
revoke all on function outbox.is_same_instance(outbox.instance) from public;
comment on function outbox.is_same_instance(outbox.instance) is 'Whether this is the cluster and the database that were confirmed.';

create or replace function outbox.require_same_instance() returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_instance outbox.instance;
begin
  select * into v_instance from outbox.instance;
  if outbox.is_same_instance(v_instance) is not true then
    raise exception 'this database is a copy: it was confirmed on another server or under another name on %', v_instance.confirmed_at::date
      using errcode = 'PR004',
        hint = 'Sending from a restored copy would repeat real deliveries. If this copy is to send: select outbox.confirm_instance();';
  end if;
end
$$;
revoke all on function outbox.require_same_instance() from public;
comment on function outbox.require_same_instance() is 'Refuses a restored copy of a database until outbox.confirm_instance() is called.';

create or replace function outbox.confirm_instance() returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into outbox.instance (system_identifier, database_oid)
  select c.system_identifier, d.oid
  from pg_control_system() as c
  join pg_database as d on d.datname = current_database()
  on conflict (only_row) do update
  set system_identifier = excluded.system_identifier, database_oid = excluded.database_oid, confirmed_at = now(),
    next_frontier = null, next_frontier_xid = null
$$;
revoke all on function outbox.confirm_instance() from public;
comment on function outbox.confirm_instance() is
  'Declares that this database is the one that sends. To be called once after restoring a backup that is to take over; never on a copy for tests.';
