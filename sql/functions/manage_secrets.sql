create or replace function outbox.replace_secret(destination_id uuid, name text, value text, overlap interval) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  update outbox.destination_secrets as s
  set valid_until = now() + overlap
  where s.destination_id = replace_secret.destination_id
  and s.name = replace_secret.name
  and (s.valid_until is null or s.valid_until > now() + overlap);
  insert into outbox.destination_secrets (destination_id, name, version, value)
  select replace_secret.destination_id, replace_secret.name, coalesce(max(s.version), 0) + 1, replace_secret.value
  from outbox.destination_secrets as s
  where s.destination_id = replace_secret.destination_id
  and s.name = replace_secret.name;
  delete from outbox.destination_secrets as s
  where s.destination_id = replace_secret.destination_id
  and s.valid_until <= now();
end
$$;
revoke all on function outbox.replace_secret(uuid, text, text, interval) from public;
comment on function outbox.replace_secret(uuid, text, text, interval) is
  'Puts a new value in the place of a secret; the old one stays valid for the overlap.';

create or replace function outbox.rotate_secret(
  destination_id uuid, overlap interval default '24 hours', value text default null, name text default 'signing_secret',
  actor text default null) returns text
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destination constant outbox.destinations := outbox.get_destination(destination_id);
  v_value constant text := coalesce(value, outbox.generate_secret());
begin
  if overlap is null or overlap not between interval '0' and interval '30 days' then
    raise exception 'overlap: must be between 0 and 30 days, not %', overlap
      using errcode = 'PR001', hint = 'During the overlap both secrets sign; 24 hours is usual.';
  end if;
  perform outbox.replace_secret(v_destination.id, name, v_value, overlap);
  perform outbox.audit('rotate_secret', actor, v_destination.tenant_id, v_destination.id,
    jsonb_build_object('name', name, 'overlap', overlap));
  return v_value;
end
$$;
revoke all on function outbox.rotate_secret(uuid, interval, text, text, text) from public;
comment on function outbox.rotate_secret(uuid, interval, text, text, text) is
  'Gives the destination a new signing secret (or the value given) and returns it: the only time it is shown. During the overlap the old one signs too.';

create or replace function outbox.secrets_to_seal(key_id text, max integer default 100) returns setof uuid
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  delete from outbox.destination_secrets as s where s.valid_until <= now();
  select distinct s.destination_id
  from outbox.destination_secrets as s
  where (s.key_id is null or s.key_id < secrets_to_seal.key_id or s.key_id > secrets_to_seal.key_id)
  and (s.valid_until is null or s.valid_until > now())
  limit max
$$;
revoke all on function outbox.secrets_to_seal(text, integer) from public;
comment on function outbox.secrets_to_seal(text, integer) is
  'Destinations with secrets that are plain, or sealed with another key than this one. Secrets that are valid no more are deleted: nobody would seal them.';

create or replace function outbox.seal_secret(secret_id bigint, present text, sealed text, key_id text) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
as $$
  update outbox.destination_secrets as s
  set value = null, sealed = seal_secret.sealed, key_id = seal_secret.key_id
  where s.id = secret_id
  and coalesce(s.value, s.sealed) = present
$$;
revoke all on function outbox.seal_secret(bigint, text, text, text) from public;
comment on function outbox.seal_secret(bigint, text, text, text) is
  'A worker puts a sealed form in the place of what it has read, unless that has changed meanwhile.';
