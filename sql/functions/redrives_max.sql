-- Limits on what people repeat.

create or replace function outbox.is_redriven_out(redrive_count integer, destination_id uuid) returns boolean
  language sql stable strict
  set search_path = pg_catalog, pg_temp
as $$
  select redrive_count >= (outbox.effective_policy(t.policy) ->> 'redrives_max')::numeric from outbox.destinations as t where t.id = destination_id
$$;
revoke all on function outbox.is_redriven_out(integer, uuid) from public;
comment on function outbox.is_redriven_out(integer, uuid) is
  'Whether a delivery was put back to work by hand as often as its destination''s policy allows. Null for one that never was: then nothing is looked up.';

create or replace function outbox.tenant_of(deliveries outbox.deliveries[]) returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select min(d.tenant_id) from unnest(deliveries) as d having min(d.tenant_id) = max(d.tenant_id)
$$;
revoke all on function outbox.tenant_of(outbox.deliveries[]) from public;
comment on function outbox.tenant_of(outbox.deliveries[]) is 'The tenant of these deliveries, null if there are several.';
