create or replace view outbox.storage with (security_invoker = true) as
select
  p.kind, p.day, p.partition, p.rows, p.bytes, p.keep_until,
  case
    when p.day is null then 'rows of days without a partition of their own, moved by outbox.maintain_partitions()'
    when p.day > p.today then 'made ahead'
    when p.day = p.today then 'today'
    when p.keep_until > now() and s.due_topics <> '{}' then concat('retention of some topics; of others ', case
      when s.swept_at is null then 'the rows are being deleted'
      when s.left_over > 0 then s.left_over || ' events are not delivered'
      else 'the rows are deleted'
    end)
    when p.keep_until > now() then 'retention'
    when u.waiting is not null then u.waiting
    else coalesce(outbox.open_before(p.day_end), 'nothing: dropped at the next run')
  end as kept_by
from (
  select
    t.relname as kind, d.day, c.relname as partition, (now() at time zone 'UTC')::date as today,
    (d.day + 1)::timestamp at time zone 'UTC' as day_end,
    (d.day + 1)::timestamp at time zone 'UTC' + r.longest as keep_until,
    greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint, 0) as rows,
    pg_total_relation_size(c.oid) as bytes
  from pg_inherits as i
  join pg_class as t on t.oid = i.inhparent
  join pg_class as c on c.oid = i.inhrelid
  cross join lateral (
    select case when c.relname ~ '_[0-9]{8}$' then to_date(right(c.relname, 8), 'YYYYMMDD') end as day
  ) as d
  cross join (
    select greatest(
      coalesce((select k.keep from outbox.retention as k where k.topics = '*'), (select n.retention from outbox.instance as n)),
      (select max(k.keep) from outbox.retention as k)) as longest
  ) as r
  where t.oid in ('outbox.events'::regclass, 'outbox.deliveries'::regclass, 'outbox.attempts'::regclass)
) as p
left join outbox.pruned_days as s on s.day = p.day
left join (
  select n.day, sum(n.waiting) || ' deliveries are pending or held: '
    || string_agg(n.waiting || ' for ' || coalesce(t.name, n.destination_id::text), ', ' order by n.waiting desc, t.name) as waiting
  from (
    select (outbox.time_of(w.event_id) at time zone 'UTC')::date as day, w.destination_id, count(*) as waiting
    from (
      select q.event_id, q.destination_id from outbox.pending_deliveries() as q
      union all
      select h.event_id, h.destination_id from outbox.deliveries as h where h.held_at is not null
    ) as w
    group by 1, 2
  ) as n
  left join outbox.destinations as t on t.id = n.destination_id
  group by n.day
) as u on u.day = p.day
order by p.day nulls first, p.kind;
comment on view outbox.storage is
  'The partitions of events, deliveries and attempts: their day (UTC), rows (estimated) and bytes, how long the longest retention keeps them, and what keeps each now. What is unfinished keeps a day beyond its retention.';
