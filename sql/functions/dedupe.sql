create or replace function outbox.tg_events__dedupe() returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into outbox.dedupe_keys (tenant_id, dedupe_key, event_id)
  values (NEW.tenant_id, NEW.dedupe_key, NEW.id)
  on conflict do nothing;
  return case when found then NEW end;
end
$$;
revoke all on function outbox.tg_events__dedupe() from public;
comment on function outbox.tg_events__dedupe() is
  'Skips an event whose dedupe_key the tenant has used before. A concurrent insert of the same key waits for the first transaction to end.';

create or replace trigger _100_dedupe
  before insert on outbox.events
  for each row when (NEW.dedupe_key is not null)
  execute function outbox.tg_events__dedupe();
comment on trigger _100_dedupe on outbox.events is 'The first insert of a dedupe_key wins; later ones are skipped.';
