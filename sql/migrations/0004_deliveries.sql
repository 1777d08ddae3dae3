-- The duty to bring one event to one subscription (the state machine), and each try of it (append-only).
-- Both are partitioned like events and have no foreign keys: each delivery would take a lock on the same hot row.

create table outbox.deliveries (
  event_id        uuid                   not null,
  subscription_id uuid                   not null,
  status          outbox.delivery_status not null default 'pending',
  attempt_count   integer                not null default 0,
  failure_count   integer                not null default 0,
  error_code      text,
  next_attempt_at timestamptz,
  job_at          timestamptz,
  last_attempt_at timestamptz,
  claimed_by      uuid,
  held_at         timestamptz,
  held_reason     text,
  dead_at         timestamptz,
  finished_at     timestamptz,
  created_at      timestamptz            not null default now(),
  destination_id  uuid                   not null,
  tenant_id       text                   not null,
  seq             bigint                 not null,
  key             text,
  redriven_by     text,
  primary key (event_id, subscription_id),
  constraint attempts_have_a_start check ((attempt_count = 0) = (last_attempt_at is null)),
  constraint claimed_only_while_pending check (claimed_by is null or status = 'pending'),
  constraint next_attempt_only_while_pending check (next_attempt_at is null or status = 'pending'),
  constraint held_while_held check ((status = 'held') = (held_at is not null) and (held_at is null) = (held_reason is null)),
  constraint dead_when_dead check ((status = 'dead') = (dead_at is not null)),
  constraint finished_unless_waiting check ((status in ('pending', 'held')) = (finished_at is null))
) partition by range (event_id);
comment on table outbox.deliveries is
  'The duty to bring one event to one subscription: its status, and when it is tried next. Partitioned like events.';
comment on column outbox.deliveries.attempt_count is 'Attempts so far, the running one included: its number. A worker may only record the attempt that it claimed.';
comment on column outbox.deliveries.failure_count is
  'Failures that count against the schedule. Set to 0 by a redrive; not raised by faults of our own (a lost worker, a shutdown).';
comment on column outbox.deliveries.error_code is 'Code of the last failure. Null once delivered.';
comment on column outbox.deliveries.next_attempt_at is 'Not before this time. Null while pending: as soon as possible, its first job was made with it.';
comment on column outbox.deliveries.job_at is 'When a job was last made for next_attempt_at. Null: the time is still far, there is only this row.';
comment on column outbox.deliveries.claimed_by is 'The worker (outbox.workers) that is sending right now. If it is lost, the claim is taken over and the attempt is closed as unknown.';
comment on column outbox.deliveries.held_reason is 'Why it waits without a job: destination_disabled.';
comment on column outbox.deliveries.dead_at is 'Since when it is a dead letter.';
comment on column outbox.deliveries.seq is 'events.seq.';
comment on column outbox.deliveries.key is 'events.key.';
comment on column outbox.deliveries.last_attempt_at is 'When the last attempt started.';
comment on column outbox.deliveries.redriven_by is 'Who redrove it last.';

-- Partial, on columns that stay null while all goes well: the updates of the happy path stay HOT.
create index deliveries_by_next_attempt on outbox.deliveries (next_attempt_at) where next_attempt_at is not null;
create index deliveries_held on outbox.deliveries (destination_id, event_id) where held_at is not null;
create index deliveries_dead on outbox.deliveries (destination_id, dead_at) where dead_at is not null;

create table outbox.attempts (
  event_id        uuid                   not null,
  subscription_id uuid                   not null,
  number          integer                not null,
  late            boolean                not null default false,
  outcome         outbox.attempt_outcome not null,
  code            text,
  started_at      timestamptz            not null,
  duration_ms     integer,
  trigger         text                   not null,
  requested_by    text,
  worker_id       uuid                   not null,
  destination_id  uuid                   not null,
  error           text,
  response        jsonb,
  primary key (event_id, subscription_id, number, late),
  constraint trigger_is_known check (trigger in ('event', 'retry', 'redrive')),
  constraint code_unless_delivered check ((outcome = 'delivered') = (code is null))
) partition by range (event_id);
comment on table outbox.attempts is 'One try of one delivery, numbered from 1. Append-only, partitioned like events.';
comment on column outbox.attempts.late is
  'The answer came after the worker had been given up and the attempt was closed as unknown, or after the delivery was cancelled: history, it changed nothing.';
comment on column outbox.attempts.code is 'Why it did not end in delivered: http_status, timeout, dns, ... The table of codes is in the README.';
comment on column outbox.attempts.duration_ms is 'From sending to answer, milliseconds. Null where no answer was seen.';
comment on column outbox.attempts.trigger is 'What asked for it: the event itself, the schedule (retry), or a person (redrive).';
comment on column outbox.attempts.requested_by is 'The person, for a redrive.';
comment on column outbox.attempts.response is 'Status, headers and the first 16 KiB of the body.';

create table outbox.workers (
  id           uuid        primary key,
  pool_id      text        not null,
  hostname     text        not null,
  pid          integer     not null,
  version      text        not null,
  started_at   timestamptz not null default now(),
  heartbeat_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table outbox.workers is
  'Live worker processes. One whose heartbeat is older than outbox.worker_lease() is lost: its jobs are freed and its claims are taken over.';
comment on column outbox.workers.pool_id is 'graphile-worker''s name for its pool: the locked_by of its jobs.';

create type outbox.given_attempt as (
  event_id uuid, subscription_id uuid, number integer, outcome outbox.attempt_outcome, code text, error text,
  duration_ms integer, retry_after_ms bigint, ours boolean, disable boolean, response jsonb
);
comment on type outbox.given_attempt is 'An attempt as a worker reports it to outbox.record_attempts.';
create type outbox.recorded_attempt as (
  given outbox.given_attempt, destination_id uuid, status outbox.delivery_status, next_attempt_at timestamptz,
  job_at timestamptz, started_at timestamptz, requested_by text
);
comment on type outbox.recorded_attempt is 'A reported attempt that counted, and what it made of its delivery.';
