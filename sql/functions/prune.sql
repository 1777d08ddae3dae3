-- What is past its retention goes: whole days, and where a day is kept for some topics, the rows of the others.

create or replace function outbox.keeps_some(for_day date, day_end timestamptz, otherwise interval) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_rules constant text := outbox.retention_rules(day_end, otherwise);
  v_due_topics text[];
  v_keeps boolean;
begin
  update outbox.pruned_days as p
  set swept_to = null, swept_at = null, left_over = 0
  where p.day = for_day
  and p.rules = v_rules
  and p.left_over > 0
  and p.swept_at < now() - interval '1 hour';
  if exists (select from outbox.pruned_days as p where p.day = for_day and p.rules = v_rules) then
    return true;
  end if;
  execute format(
    'select coalesce(array_agg(t.topic) filter (where t.due), ''{}''), coalesce(bool_or(not t.due), false)
     from (
       select e.topic, $1 + outbox.keep_of(e.topic, $2) < now() as due
       from (select distinct topic from outbox.%I) as e
     ) as t', 'events_' || to_char(for_day, 'YYYYMMDD'))
  into v_due_topics, v_keeps
  using day_end, otherwise;
  delete from outbox.pruned_days as p where p.day = for_day;
  if v_keeps then
    insert into outbox.pruned_days (day, rules, due_topics, swept_at)
    values (for_day, v_rules, v_due_topics, case when v_due_topics = '{}' then now() end);
  end if;
  return v_keeps;
end
$$;
revoke all on function outbox.keeps_some(date, timestamptz, interval) from public;
comment on function outbox.keeps_some(date, timestamptz, interval) is
  'Whether a day holds events whose retention is not over; notes which topics of it are to go. Reads the topics of the day once for each retention that ends, and what was passed over again after an hour.';

create or replace function outbox.drop_days(days date[]) returns date[]
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '50ms'
as $$
declare
  c_bytes_max constant bigint := 8388608;
  v_frontier constant uuid := (select i.frontier from outbox.instance as i);
  v_dropped date[] := '{}';
  v_day date;
  v_partition text;
  v_end timestamptz;
begin
  lock table only outbox.events, only outbox.deliveries, only outbox.attempts in access exclusive mode;
  foreach v_day in array days loop
    v_partition := to_char(v_day, 'YYYYMMDD');
    v_end := (v_day + 1)::timestamp at time zone 'UTC';
    begin
      execute format('lock table outbox.%I, outbox.%I, outbox.%I in access exclusive mode nowait',
        'events_' || v_partition, 'deliveries_' || v_partition, 'attempts_' || v_partition);
      continue when outbox.uuid_at(v_end) > v_frontier and pg_relation_size(format('outbox.%I', 'deliveries_' || v_partition)) > c_bytes_max;
      continue when outbox.unfinished_of(v_partition, v_end, 1) is not null;
      execute format('drop table outbox.%I, outbox.%I, outbox.%I',
        'attempts_' || v_partition, 'deliveries_' || v_partition, 'events_' || v_partition);
      delete from outbox.pruned_days as p where p.day = v_day;
      v_dropped := v_dropped || v_day;
    exception when lock_not_available then
      null;
    end;
  end loop;
  return v_dropped;
exception when lock_not_available then
  return '{}';
end
$$;
revoke all on function outbox.drop_days(date[]) from public;
comment on function outbox.drop_days(date[]) is
  'Drops days that were found to be finished, if they still are, and returns which. To drop a partition its table has to be locked for a moment, against producers too: 50 ms is waited at most for each of the three, parents first, because whoever uses a partition holds its parent. What is looked at under the lock is found by index; a large day waits until the frontier has passed it.';

create or replace function outbox.prune(retention interval default '30 days') returns table (partition text, dropped boolean, reason text)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_days_max constant integer := 7;
  v_otherwise constant interval := coalesce((select r.keep from outbox.retention as r where r.topics = '*'), prune.retention);
  v_shortest constant interval := least(v_otherwise, (select min(r.keep) from outbox.retention as r));
  v_longest constant interval := greatest(v_otherwise, (select max(r.keep) from outbox.retention as r));
  v_finished date[] := '{}';
  v_gone date[];
  v_day date;
  v_end timestamptz;
  v_left_over bigint;
  v_newest xid;
begin
  if prune.retention not between interval '1 day' and interval '100 years' then
    raise exception 'retention: must be at least 1 day and at most 100 years, not %', prune.retention
      using errcode = 'PR001', hint = 'Partitions are days: nothing younger can be dropped.';
  end if;
  if not pg_try_advisory_xact_lock(hashtext('outbox.prune')) then
    return;
  end if;
  update outbox.instance as i set retention = prune.retention
  from (select n.only_row from outbox.instance as n where n.retention <> prune.retention for update skip locked) as c
  where i.only_row = c.only_row;
  delete from outbox.dedupe_keys as k
  using (
    select o.tenant_id, o.dedupe_key from outbox.dedupe_keys as o
    where o.created_at < now() - v_otherwise order by o.created_at limit 10000 for update skip locked
  ) as o
  where k.tenant_id = o.tenant_id and k.dedupe_key = o.dedupe_key;

  for v_day in
    select to_date(right(c.relname, 8), 'YYYYMMDD')
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'outbox.events'::regclass
    and c.relname ~ '^events_[0-9]{8}$'
    order by 1
  loop
    v_end := (v_day + 1)::timestamp at time zone 'UTC';
    exit when v_end >= now() - v_shortest;
    partition := to_char(v_day, 'YYYYMMDD');
    dropped := false;
    if v_end >= now() - v_longest and outbox.keeps_some(v_day, v_end, v_otherwise) then
      select p.left_over into v_left_over from outbox.pruned_days as p where p.day = v_day and p.swept_at is not null;
      continue when coalesce(v_left_over, 0) = 0;
      reason := v_left_over || ' events are past the retention of their topics, but not delivered';
      return next;
      continue;
    end if;
    execute format('select e.xmin from outbox.%I as e order by e.id desc limit 1', 'events_' || partition) into v_newest;
    reason := coalesce(outbox.unfinished_of(partition, v_end), outbox.open_before(v_end, v_newest));
    if reason is null and cardinality(v_finished) < c_days_max then
      v_finished := v_finished || v_day;
      continue;
    end if;
    reason := coalesce(reason, 'its turn comes at the next run');
    return next;
  end loop;

  if v_finished = '{}' then
    return;
  end if;
  v_gone := outbox.drop_days(v_finished);
  foreach v_day in array v_finished loop
    partition := to_char(v_day, 'YYYYMMDD');
    dropped := v_day = any (v_gone);
    reason := case when not dropped then 'in use, tried again at the next run' end;
    return next;
  end loop;
end
$$;
revoke all on function outbox.prune(interval) from public;
comment on function outbox.prune(interval) is
  'Drops the days that are past every retention (outbox.retention, else the one given), at most seven in a call: never one that still holds a pending or held delivery, or that a transaction older than its end could still look at. Everything is looked at before anything is locked, and no lock is waited for longer than 50 ms in front of producers. Returns a row for each such day, with what keeps it. Forgets dedupe keys of the same age, 10,000 in a call.';

create or replace function outbox.prune_rows(max integer default 1000) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '50ms'
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_day outbox.pruned_days;
  v_partition text;
  v_due uuid[];
  v_last uuid;
  v_unfinished uuid[];
begin
  select * into v_day from outbox.pruned_days as p where p.swept_at is null order by p.day limit 1 for update skip locked;
  if not found then
    return 0;
  end if;
  v_partition := to_char(v_day.day, 'YYYYMMDD');
  execute format(
    'select coalesce(array_agg(e.id) filter (where e.topic = any ($1)), ''{}''), outbox.greatest_of(array_agg(e.id))
     from (select id, topic from outbox.%I where id > $2 order by id limit $3) as e', 'events_' || v_partition)
  into v_due, v_last
  using v_day.due_topics, coalesce(v_day.swept_to, '00000000-0000-0000-0000-000000000000'), max;

  begin
    if v_last is null then
      execute format(
        'alter table outbox.%I reset (autovacuum_vacuum_scale_factor);
         alter table outbox.%I reset (autovacuum_vacuum_scale_factor);
         alter table outbox.%I reset (autovacuum_vacuum_scale_factor)',
        'events_' || v_partition, 'deliveries_' || v_partition, 'attempts_' || v_partition);
      update outbox.pruned_days as p set swept_at = now() where p.day = v_day.day;
      return 0;
    elsif cardinality(v_due) > 0 then
      execute format('lock table outbox.%I in access exclusive mode', 'events_' || v_partition);
      execute format(
        'select coalesce(array_agg(distinct l.event_id) filter (where l.status in (''pending'', ''held'')), ''{}'')
         from (select d.event_id, d.status from outbox.%I as d where d.event_id = any ($1) for update) as l', 'deliveries_' || v_partition)
      into v_unfinished
      using v_due;
      v_due := array(select unnest(v_due) except select unnest(v_unfinished));
      execute format('delete from outbox.%I where event_id = any ($1)', 'attempts_' || v_partition) using v_due;
      execute format('delete from outbox.%I where event_id = any ($1)', 'deliveries_' || v_partition) using v_due;
      execute format('delete from outbox.%I where id = any ($1)', 'events_' || v_partition) using v_due;
    end if;
  exception when lock_not_available then
    return 0;
  end;
  update outbox.pruned_days as p
  set swept_to = v_last, left_over = p.left_over + coalesce(cardinality(v_unfinished), 0)
  where p.day = v_day.day;
  return cardinality(v_due);
end
$$;
revoke all on function outbox.prune_rows(integer) from public;
comment on function outbox.prune_rows(integer) is
  'Deletes the next events whose topics are past their retention from a day that is kept for others, with their deliveries and attempts: looks at up to max. What is unfinished is passed over and looked at again. The day''s events are locked meanwhile, so that nobody who has read one of them (a replay) makes a delivery of it; producers do not touch old days. Autovacuum then treats the day as any table. Returns how many events went.';
