create or replace function outbox.pending_deliveries() returns setof outbox.deliveries
  language sql stable
as $$
  select * from outbox.deliveries as d
  where d.status = 'pending' and d.next_attempt_at is null and d.event_id >= (select i.frontier from outbox.instance as i)
  union all
  select * from outbox.deliveries as d
  where d.status = 'pending' and d.next_attempt_at is not null
$$;
revoke all on function outbox.pending_deliveries() from public;
comment on function outbox.pending_deliveries() is
  'All pending deliveries, found by index however long the history is: those that wait for their first attempt lie past the frontier, all others have a next_attempt_at.';
