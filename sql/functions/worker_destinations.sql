-- What a worker reads about destinations, and what it finds.

create or replace function outbox.load_destinations(destination_ids uuid[])
  returns table (id uuid, version integer, tenant_id text, type text, name text, config jsonb, policy jsonb, secrets jsonb)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select
    d.id, d.version, d.tenant_id, d.type, d.name, d.config, outbox.effective_policy(d.policy),
    coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'id', s.id, 'name', s.name, 'version', s.version, 'value', s.value, 'sealed', s.sealed, 'keyId', s.key_id,
          'validUntil', s.valid_until)
        order by s.name, s.version desc)
      from outbox.destination_secrets as s
      where s.destination_id = d.id
      and (s.valid_until is null or s.valid_until > now())
    ), '[]')
  from outbox.destinations as d
  where d.id = any (destination_ids)
  and d.deleted_at is null
$$;
revoke all on function outbox.load_destinations(uuid[]) from public;
comment on function outbox.load_destinations(uuid[]) is
  'Destinations with effective policy and valid secrets (newest first), for a worker that has not kept this version.';

create or replace function outbox.closed_destinations(destination_ids uuid[]) returns setof uuid
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select k.id
  from unnest(destination_ids) as k (id)
  where not exists (
    select from outbox.destinations as d where d.id = k.id and d.disabled_at is null and d.deleted_at is null)
$$;
revoke all on function outbox.closed_destinations(uuid[]) from public;
comment on function outbox.closed_destinations(uuid[]) is
  'Which of these destinations are disabled or deleted. Workers look before they send what they claimed a while ago.';

create or replace function outbox.destinations_to_check(max integer default 100) returns setof uuid
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select d.id from outbox.destinations as d where d.checked_version <> d.version and d.deleted_at is null limit max
$$;
revoke all on function outbox.destinations_to_check(integer) from public;
comment on function outbox.destinations_to_check(integer) is 'Destinations that changed since a worker looked at them last.';

create or replace function outbox.mark_checked(destination_id uuid, version integer, problem text) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.destinations as d
  set checked_version = mark_checked.version, problem = left(mark_checked.problem, 1000)
  where d.id = destination_id
  and d.version = mark_checked.version
$$;
revoke all on function outbox.mark_checked(uuid, integer, text) from public;
comment on function outbox.mark_checked(uuid, integer, text) is 'A worker has looked at this version of a destination; problem says what is wrong with it.';
