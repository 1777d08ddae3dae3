-- A day's partition is a range of ids. Ahead of time they are made; prune.sql drops them behind.

create or replace function outbox.uuid_at(at timestamptz) returns uuid
  language sql immutable parallel safe
  return (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;
revoke all on function outbox.uuid_at(timestamptz) from public;
comment on function outbox.uuid_at(timestamptz) is 'The lowest possible id of that millisecond: ids made before it are smaller, ids made after it are larger.';

create or replace function outbox.time_of(id uuid) returns timestamptz
  language sql immutable parallel safe
  return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);
revoke all on function outbox.time_of(uuid) from public;
comment on function outbox.time_of(uuid) is 'When a UUIDv7 was made.';

create or replace function outbox.create_partition(parent text, day date) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant text := parent || '_' || to_char(day, 'YYYYMMDD');
  v_default constant text := parent || '_default';
  v_key constant text := case parent when 'events' then 'id' else 'event_id' end;
  v_from constant uuid := outbox.uuid_at(day::timestamp at time zone 'UTC');
  v_to constant uuid := outbox.uuid_at((day + 1)::timestamp at time zone 'UTC');
  v_fillfactor constant integer := case parent when 'deliveries' then 40 else 100 end;
begin
  if to_regclass('outbox.' || quote_ident(v_name)) is not null then
    return;
  end if;
  execute format(
    'create table outbox.%I (like outbox.%I including defaults including constraints)
       with (fillfactor = %s, autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_scale_factor = 1)',
    v_name, parent, v_fillfactor);
  execute format('lock table outbox.%I in access exclusive mode', v_default);
  execute format(
    'with moved as (delete from outbox.%I where %I >= %L and %I < %L returning *) insert into outbox.%I select * from moved',
    v_default, v_key, v_from, v_key, v_to, v_name);
  execute format('alter table outbox.%I attach partition outbox.%I for values from (%L) to (%L)', parent, v_name, v_from, v_to);
end
$$;
revoke all on function outbox.create_partition(text, date) from public;
comment on function outbox.create_partition(text, date) is
  'Makes the partition of a day (UTC) of events, deliveries or attempts, and moves in what the default partition caught while it was missing. Pages of deliveries are filled to 40 %, so that the claim and the record of a row find room beside it and stay HOT: no larger in the end than pages that overflow. Vacuum has little to do in rows that are inserted once, pruned as they are updated, and dropped by the day: it looks at a day once it has doubled, not at each fifth.';

create or replace function outbox.maintain_partitions(days_ahead integer default 7) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'
as $$
declare
  v_parent text;
  v_day date;
begin
  perform pg_advisory_xact_lock(hashtext('outbox.maintain_partitions'));
  foreach v_parent in array array['events', 'deliveries', 'attempts'] loop
    if to_regclass(format('outbox.%I', v_parent || '_default')) is null then
      execute format('create table outbox.%I partition of outbox.%I default', v_parent || '_default', v_parent);
    end if;
  end loop;
  for v_day in
    select t::date from generate_series(now() at time zone 'UTC', (now() + make_interval(days => days_ahead)) at time zone 'UTC', '1 day') as t
    union
    select (outbox.time_of(c.id) at time zone 'UTC')::date
    from (
      select e.id from outbox.events_default as e
      union all
      select d.event_id from outbox.deliveries_default as d
      union all
      select a.event_id from outbox.attempts_default as a
    ) as c
    where outbox.time_of(c.id) between '2000-01-01' and now()
    order by 1
  loop
    foreach v_parent in array array['events', 'deliveries', 'attempts'] loop
      perform outbox.create_partition(v_parent, v_day);
    end loop;
  end loop;
end
$$;
revoke all on function outbox.maintain_partitions(integer) from public;
comment on function outbox.maintain_partitions(integer) is
  'Makes the partitions of today and the days ahead. If it has not run for so long that none is left, the default partitions catch the rows, and they are moved now: a producer never fails for want of a partition.';
