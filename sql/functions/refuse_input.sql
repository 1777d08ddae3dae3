create or replace function outbox.refuse_input(place text, problem text, remedy text default null)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'PR001',
    message = format('%s: %s', place, problem),
    hint = coalesce(remedy, '');
end
$$;

comment on function outbox.refuse_input(text, text, text) is
  'Refuses what a person wrote: always raises PR001 with the place of the mistake, the problem and the remedy.';

revoke all on function outbox.refuse_input(text, text, text) from public;
