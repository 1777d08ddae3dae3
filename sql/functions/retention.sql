-- How long events are kept, and what keeps a day longer than that.

create or replace function outbox.set_retention(topics text, keep interval, actor text default null) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform outbox.check_topics(array[topics]);
  if keep not between interval '1 day' and interval '100 years' then
    perform outbox.refuse_input('keep', format('must be 1 day to 100 years, not %s', keep), 'Partitions are days: nothing younger can be dropped.');
  end if;
  if keep is null then
    delete from outbox.retention as r where r.topics = set_retention.topics;
  else
    insert into outbox.retention as r (topics, keep) values (set_retention.topics, set_retention.keep)
    on conflict on constraint retention_pkey do update set keep = excluded.keep, updated_at = now();
  end if;
  perform outbox.audit('set_retention', actor, detail => jsonb_build_object('topics', topics, 'keep', keep));
end
$$;
revoke all on function outbox.set_retention(text, interval, text) from public;
comment on function outbox.set_retention(text, interval, text) is
  'Says how long events of a topic, a prefix (order.*) or everything (*) are kept, with their deliveries and attempts; null takes back what was said.';

create or replace function outbox.keep_of(topic text, otherwise interval) returns interval
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce((
    select r.keep
    from unnest(outbox.topic_candidates(keep_of.topic)) with ordinality as c (topics, specificity)
    join outbox.retention as r on r.topics = c.topics
    order by c.specificity desc
    limit 1
  ), otherwise)
$$;
revoke all on function outbox.keep_of(text, interval) from public;
comment on function outbox.keep_of(text, interval) is 'How long events of the topic are kept: by the topic itself, else its longest prefix, else *, else as given.';

create or replace function outbox.retention_rules(day_end timestamptz, otherwise interval) returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(r.topics || case when day_end + r.keep < now() then '-' else '+' end, ' ' order by r.topics)
  from (select t.topics, t.keep from outbox.retention as t union all select '', otherwise) as r
$$;
revoke all on function outbox.retention_rules(timestamptz, interval) from public;
comment on function outbox.retention_rules(timestamptz, interval) is
  'Which retentions are over for a day: while this stays the same, there is nothing new to do in it.';

create or replace function outbox.unfinished_of(partition text, day_end timestamptz, max integer default 100000) returns text
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_from constant uuid := outbox.uuid_at(day_end - interval '1 day');
  v_to constant uuid := outbox.uuid_at(day_end);
  v_text text;
begin
  if exists (
    select from outbox.deferred_events as q cross join lateral unnest(q.event_ids) as i (id) where i.id >= v_from and i.id < v_to
  ) then
    return 'events wait for their deferred fan-out';
  end if;
  execute format(
    'select sum(n.waiting) || '' deliveries are pending or held: ''
       || string_agg(n.waiting || '' for '' || coalesce(t.name, n.destination_id::text), '', '' order by n.waiting desc, t.name)
     from (
       select w.destination_id, count(*) as waiting
       from (
         select d.destination_id from outbox.%1$I as d where d.held_at is not null
         union all
         select d.destination_id from outbox.%1$I as d where d.next_attempt_at is not null
         union all
         select d.destination_id from outbox.%1$I as d where $1 and d.status = ''pending'' and d.next_attempt_at is null
         limit $2
       ) as w
       group by w.destination_id
     ) as n
     left join outbox.destinations as t on t.id = n.destination_id', 'deliveries_' || partition)
  into v_text
  using v_to > (select i.frontier from outbox.instance as i), max;
  return v_text;
end
$$;
revoke all on function outbox.unfinished_of(text, timestamptz, integer) from public;
comment on function outbox.unfinished_of(text, timestamptz, integer) is
  'What of a day is not finished, in words; null: nothing. Found by index, but for days that the frontier has not passed: those may hold deliveries that wait for their first attempt.';

create or replace function outbox.open_before(until timestamptz, newest xid default null) returns text
  language sql stable
as $$
  select o.what
  from (
    select a.xact_start as since,
      format('the transaction of process %s (%s, %s) has been open since %s', a.pid, a.usename, a.state, a.xact_start) as what
    from pg_catalog.pg_stat_activity as a
    where a.datname = current_database()
    and a.xact_start < until
    and a.pid <> pg_backend_pid()
    and a.backend_type in ('client backend', 'walsender')
    union all
    select p.prepared, format('the prepared transaction %s of %s has been open since %s', p.gid, p.owner, p.prepared)
    from pg_catalog.pg_prepared_xacts as p
    where p.database = current_database()
    and p.prepared < until
    union all
    select null, format('the replication slot %s has not come so far', s.slot_name)
    from pg_catalog.pg_replication_slots as s
    where coalesce(s.database, current_database()) = current_database()
    and greatest(age(s.xmin), age(s.catalog_xmin)) >= age(newest)
  ) as o
  order by o.since
  limit 1
$$;
revoke all on function outbox.open_before(timestamptz, xid) from public;
comment on function outbox.open_before(timestamptz, xid) is
  'The oldest transaction that began before this time and still runs or is prepared, or a replication slot that has not come as far as the transaction newest; null: none. Of other roles'' transactions, only who has pg_read_all_stats sees the start: others'' locks keep a day all the same.';
