-- Where to deliver: destination types (from the TypeScript registry), destinations, their secrets and health, subscriptions.

create table outbox.destination_types (
  name           text  primary key,
  label          text  not null,
  config_schema  jsonb not null,
  secrets_schema jsonb not null
);
comment on table outbox.destination_types is
  'What can be delivered to, written by migrate from src/destinations. SQL validates config and secrets with these schemas.';
comment on column outbox.destination_types.config_schema is 'JSON Schema (2020-12) of destinations.config.';
comment on column outbox.destination_types.secrets_schema is
  'JSON Schema of the secrets: an object of strings. A property with "generate": "whsec" is made up when it is not given.';

create table outbox.destinations (
  id              uuid        primary key default outbox.uuid_v7(),
  tenant_id       text        not null default 'default',
  name            text        not null,
  type            text        not null references outbox.destination_types (name) on delete restrict,
  version         integer     not null default 1,
  disabled_at     timestamptz,
  disabled_reason text,
  deleted_at      timestamptz,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  checked_version integer     not null default 0,
  problem         text,
  policy          jsonb       not null default '{}',
  config          jsonb       not null,
  constraint tenant_id_is_a_tenant_or_all
    check (tenant_id = '*' or tenant_id ~ '\A[^[:cntrl:][:space:]*]{1,128}\Z'),
  constraint name_is_1_to_128_characters check (char_length(name) between 1 and 128),
  constraint disabled_with_a_reason check ((disabled_at is null) = (disabled_reason is null)),
  unique (id, tenant_id)
);
comment on table outbox.destinations is
  'A configured place to deliver to: a destination type plus its config, secrets and delivery policy. Changed through outbox.create_destination and its siblings.';
comment on column outbox.destinations.tenant_id is 'The tenant whose events it may receive; ''*'' receives events of every tenant.';
comment on column outbox.destinations.version is 'Grows with every change of config, policy, secrets or enablement: workers refresh what they keep by (id, version).';
comment on column outbox.destinations.disabled_at is 'While set, nothing is sent: new and waiting deliveries are held.';
comment on column outbox.destinations.deleted_at is 'Deleted, kept for the history of its attempts: nothing is sent, its deliveries are cancelled, its secrets are gone.';
comment on column outbox.destinations.checked_version is 'The version that a worker has looked at last: secrets sealed, config and addresses checked.';
comment on column outbox.destinations.problem is 'What a worker found wrong with the checked version, and what to do about it. Null: nothing.';
comment on column outbox.destinations.policy is 'Delivery policy: only what differs from outbox.default_policy().';
create unique index destinations_by_name on outbox.destinations (tenant_id, name) where deleted_at is null;
create index destinations_by_type on outbox.destinations (type);
create index destinations_to_check on outbox.destinations (id) where checked_version <> version and deleted_at is null;

create table outbox.destination_secrets (
  id             bigint      generated always as identity primary key,
  destination_id uuid        not null references outbox.destinations (id) on delete cascade,
  name           text        not null,
  version        integer     not null,
  value          text,
  sealed         text,
  key_id         text,
  valid_from     timestamptz not null default now(),
  valid_until    timestamptz,
  constraint either_plain_or_sealed check ((value is null) <> (sealed is null)),
  constraint sealed_with_a_known_key check ((sealed is null) = (key_id is null)),
  unique (destination_id, name, version)
);
create index destination_secrets_by_key on outbox.destination_secrets (key_id);
comment on table outbox.destination_secrets is
  'Secrets of destinations. A worker that has a key seals a plain value within a second or so (AES-256-GCM); the key is never in the database.';
comment on column outbox.destination_secrets.version is 'Grows with each rotation. Part of what the seal is bound to.';
comment on column outbox.destination_secrets.value is 'The plain secret, only until it is sealed. Stays plain where no key is configured.';
comment on column outbox.destination_secrets.sealed is 'nonce and ciphertext, base64, bound to tenant, destination, name and version: a row copied elsewhere does not open.';
comment on column outbox.destination_secrets.key_id is 'Which key of POSTRIDER_KEYS opens it.';
comment on column outbox.destination_secrets.valid_until is 'End of the overlap after a rotation: until then both secrets sign.';

create table outbox.destination_health (
  destination_id       uuid    primary key references outbox.destinations (id) on delete cascade,
  consecutive_failures integer not null default 0,
  first_failure_at     timestamptz,
  last_failure_at      timestamptz,
  last_success_at      timestamptz,
  last_error_code      text,
  last_error           text
) with (fillfactor = 50);
comment on table outbox.destination_health is
  'How each destination has answered lately. Hot: written once for each batch of attempts, and not at all while all is well within the same second.';
comment on column outbox.destination_health.first_failure_at is 'Start of the present run of failures. Null while the last attempt succeeded.';

create table outbox.subscriptions (
  id             uuid        primary key default outbox.uuid_v7(),
  destination_id uuid        not null,
  tenant_id      text        not null,
  enabled        boolean     not null default true,
  topics         text[]      not null default '{*}',
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  filter         jsonb,
  filter_path    jsonpath,
  foreign key (destination_id, tenant_id) references outbox.destinations (id, tenant_id) on delete cascade
);
comment on table outbox.subscriptions is 'This destination wants these topics, where this filter holds.';
comment on column outbox.subscriptions.tenant_id is 'That of the destination, always: a subscription cannot reach over the wall.';
comment on column outbox.subscriptions.topics is 'Exact topics, prefixes (order.*) or everything (*).';
comment on column outbox.subscriptions.filter is 'What the payload must look like, as people write it: {"total": {"$gte": 10}}. Null: anything.';
comment on column outbox.subscriptions.filter_path is 'The filter compiled by outbox.compile_filter when it was written.';
comment on column outbox.subscriptions.updated_at is 'Events older than this are never matched again by recovery.';
create index subscriptions_by_tenant on outbox.subscriptions (tenant_id) where enabled;
create index subscriptions_by_destination on outbox.subscriptions (destination_id, tenant_id);
