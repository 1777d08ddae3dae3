-- Plain SQL without a set clause: the planner puts the expression into the query that calls it. compile_filter accepts no
-- path that raises although errors are silenced (test/sql/filter.test.ts hunts for one), so no exception block is needed.
create or replace function outbox.filter_matches(payload jsonb, path jsonpath)
returns boolean
language sql
immutable
parallel safe
as $$
  select coalesce(pg_catalog.jsonb_path_match(payload, path, '{}', true), path is null)
$$;

comment on function outbox.filter_matches(jsonb, jsonpath) is
  'Says whether a payload passes a compiled filter: true without a filter, false where the filter cannot be evaluated, never null and never an error.';

revoke all on function outbox.filter_matches(jsonb, jsonpath) from public;
