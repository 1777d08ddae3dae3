-- The schema, the words that columns use, and the row that says which installation this is.

create schema if not exists outbox;
comment on schema outbox is
  'Postrider: a transactional outbox. Producers insert into outbox.events; everything else is read here and changed through functions.';

create table outbox.applied_files (
  path       text        primary key,
  checksum   text        not null,
  applied_at timestamptz not null default now()
);
comment on table outbox.applied_files is 'Which files of sql/ this database has, and their SHA-256: migrations run once, functions and views again when their text changes.';

-- Ids are UUIDv7 (RFC 9562, section 5.7): the first 48 bits are milliseconds since 1970, so ids sort by time and a day is
-- a range of ids. Postgres 18 makes them itself.
do $$
begin
  if current_setting('server_version_num')::integer >= 180000 then
    create function outbox.uuid_v7() returns uuid
      language sql volatile parallel safe
      return uuidv7();
  else
    create function outbox.uuid_v7() returns uuid
      language sql volatile parallel safe
      return encode(
        set_bit(
          set_bit(
            overlay(
              uuid_send(gen_random_uuid())
              placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
              from 1 for 6),
            52, 1),
          53, 1),
        'hex')::uuid;
  end if;
end
$$;
revoke all on function outbox.uuid_v7() from public;
comment on function outbox.uuid_v7() is
  'A new UUIDv7 (RFC 9562): time-ordered by millisecond, random after that.';

create type outbox.delivery_status as enum ('pending', 'held', 'delivered', 'dead', 'cancelled');
comment on type outbox.delivery_status is
  'Where a delivery stands: pending (will be tried), held (waits without a job), delivered, dead (a dead letter: redrive it), cancelled.';

create type outbox.attempt_outcome as enum ('delivered', 'retry', 'dead', 'unknown');
comment on type outbox.attempt_outcome is
  'How an attempt ended. Unknown: the worker was lost or stopped between sending and recording, so the event may have arrived.';

create table outbox.instance (
  only_row          boolean     primary key default true,
  system_identifier bigint      not null,
  database_oid      oid         not null,
  confirmed_at      timestamptz not null default now(),
  frontier          uuid        not null default '00000000-0000-0000-0000-000000000000',
  next_frontier     uuid,
  next_frontier_xid xid8,
  constraint there_is_one_instance check (only_row),
  constraint next_frontier_knows_its_transactions check ((next_frontier is null) = (next_frontier_xid is null))
);
comment on table outbox.instance is
  'Which installation this is. A restored copy has another system identifier or database: its workers refuse to send until outbox.confirm_instance() is called.';
comment on column outbox.instance.system_identifier is 'pg_control_system().system_identifier of the cluster that was confirmed.';
comment on column outbox.instance.database_oid is 'Oid of the database that was confirmed: a copy inside the same cluster differs here.';
comment on column outbox.instance.frontier is
  'Every delivery of an older event is finished, held or has a next_attempt_at: only newer events need to be searched for deliveries that wait for their first attempt.';
comment on column outbox.instance.next_frontier is 'Where the frontier may move once every transaction below next_frontier_xid has ended.';
comment on column outbox.instance.next_frontier_xid is 'Transactions from this id on started after next_frontier was chosen.';

create table outbox.audit_log (
  id             bigint      generated always as identity primary key,
  at             timestamptz not null default now(),
  action         text        not null,
  actor          text        not null,
  db_user        text        not null default session_user,
  tenant_id      text,
  destination_id uuid,
  detail         jsonb       not null default '{}'
);
comment on table outbox.audit_log is 'Who did what by hand, and what the engine did on its own to a destination. Append-only.';
comment on column outbox.audit_log.actor is 'Who asked: the actor that was named in the call, or else the database user.';
comment on column outbox.audit_log.db_user is 'session_user of the connection, whatever actor was named.';
create index audit_log_by_destination on outbox.audit_log (destination_id, at);
