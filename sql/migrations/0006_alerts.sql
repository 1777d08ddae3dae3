-- What somebody should know about a destination, and how far the search for it has come.

create table outbox.alerts (
  id             bigint      generated always as identity primary key,
  kind           text        not null,
  severity       text        not null,
  state          text        not null default 'firing',
  tenant_id      text        not null,
  destination_id uuid        not null references outbox.destinations (id) on delete cascade,
  dedup_key      text        not null,
  level          integer     not null default 0,
  since          timestamptz not null,
  count          bigint      not null,
  title          text        not null,
  text           text        not null,
  last_error     jsonb,
  look           text        not null,
  redrive        text,
  seen_at        timestamptz not null default now(),
  told_at        timestamptz not null default now(),
  event_id       uuid,
  created_at     timestamptz not null default now(),
  resolved_at    timestamptz,
  constraint severity_is_known check (severity in ('info', 'warning', 'critical')),
  constraint state_is_known check (state in ('firing', 'resolved')),
  constraint resolved_with_a_time check ((state = 'resolved') = (resolved_at is not null))
);
comment on table outbox.alerts is
  'What somebody should know about a destination. Written by outbox.evaluate_alerts, which also makes an event postrider.alert.<kind> of each; resolved ones are kept for 90 days.';
comment on column outbox.alerts.kind is
  'consecutive_failures, failure_rate, dead_letter, retries_exhausted, circuit_opened, destination_disabled, backlog, secret_expiring or poison.';
comment on column outbox.alerts.severity is 'info, warning or critical.';
comment on column outbox.alerts.state is 'firing, or resolved: it is over.';
comment on column outbox.alerts.dedup_key is 'What it is about: the same for all that is told of one trouble, until it is resolved.';
comment on column outbox.alerts.level is 'How far it has come, where the kind has levels: 50, 70, 90 or 100 percent of the failures that the policy names. Else 0.';
comment on column outbox.alerts.since is 'Since when things have been so.';
comment on column outbox.alerts.count is 'How many: failures, dead letters, deliveries that wait.';
comment on column outbox.alerts.title is 'A few words, for a subject line.';
comment on column outbox.alerts.text is 'One or two sentences.';
comment on column outbox.alerts.last_error is 'The destination''s last error: {"code", "message", "remedy"}.';
comment on column outbox.alerts.look is 'SQL that shows how things stand.';
comment on column outbox.alerts.redrive is 'SQL that puts what died or waits back to work, once the cause is mended.';
comment on column outbox.alerts.seen_at is 'What was up to this time is counted in it.';
comment on column outbox.alerts.told_at is 'When an event of it was made last.';
comment on column outbox.alerts.event_id is
  'The event that told of it first. Null: none, because the destination itself gets postrider.* events: alerts about alerts would never end.';
comment on column outbox.alerts.resolved_at is 'Since when it is over.';
create unique index alerts_open on outbox.alerts (dedup_key, level) where resolved_at is null;
create index alerts_by_key on outbox.alerts (dedup_key, id);
create index alerts_by_destination on outbox.alerts (destination_id, id);
create index alerts_resolved on outbox.alerts (resolved_at) where resolved_at is not null;

create table outbox.alert_cursor (
  only_row        boolean     primary key default true,
  audit_id        bigint      not null,
  seen_audit_ids  bigint[]    not null default '{}',
  at              timestamptz not null,
  next_audit_id   bigint,
  next_at         timestamptz,
  next_xid        xid8,
  slow_checks_at  timestamptz not null default '-infinity',
  constraint there_is_one_cursor check (only_row),
  constraint next_is_whole check (num_nulls(next_audit_id, next_at, next_xid) in (0, 3))
);
comment on table outbox.alert_cursor is 'How far outbox.evaluate_alerts has looked.';
comment on column outbox.alert_cursor.audit_id is 'All rows of outbox.audit_log up to this id have been looked at.';
comment on column outbox.alert_cursor.seen_audit_ids is 'Rows after audit_id that have been looked at as well: ids are not committed in their order.';
comment on column outbox.alert_cursor.at is 'All failures and dead letters up to this time have been looked at.';
comment on column outbox.alert_cursor.next_audit_id is 'Where audit_id may move once every transaction below next_xid has ended.';
comment on column outbox.alert_cursor.next_at is 'Where at may move then.';
comment on column outbox.alert_cursor.next_xid is 'Transactions from this id on started after next_audit_id and next_at were chosen.';
comment on column outbox.alert_cursor.slow_checks_at is 'When what costs more was looked at last: failure rates, backlogs, secrets, and what is over.';
insert into outbox.alert_cursor (audit_id, at) select coalesce(max(id), 0), now() from outbox.audit_log;

-- What evaluate_alerts looks for is found by index; nothing here is written while all goes well.
create index destination_health_by_failure on outbox.destination_health (last_failure_at) where last_failure_at is not null;
create index destinations_by_backlog_alert on outbox.destinations (((policy -> 'alerts' ->> 'backlog_seconds')::numeric))
  where policy -> 'alerts' ? 'backlog_seconds' and deleted_at is null;
create index destination_secrets_by_end on outbox.destination_secrets (valid_until) where valid_until is not null;
create index deliveries_by_death on outbox.deliveries (dead_at) where dead_at is not null;
create index attempts_with_trouble on outbox.attempts (destination_id, started_at) where number > 1 or outcome <> 'delivered';
