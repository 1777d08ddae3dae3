/** Defects between the insert and the first job. */
import { circuitOpens, insertedAgain, marketDay, pastRetention, serverKilled } from "../drills.ts";
import type { FunctionEdit, Mutant } from "../mutant.ts";

const newDeliveries = (from: string, to: string): FunctionEdit => ({
  name: "outbox.new_deliveries(text,text[],jsonb,timestamptz)",
  replace: [{ from, to }],
});

export const fanOutMutants: readonly Mutant[] = [
  {
    name: "tenant_wall_down",
    breaks: "Events reach the subscriptions of all tenants.",
    expects: "tenants",
    drill: marketDay,
    sql: [newDeliveries("where s.tenant_id in (new_deliveries.tenant_id, '*')", "where true")],
  },
  {
    name: "filtered_subscriptions_forgotten",
    breaks: "A subscription with a filter gets no events at all.",
    expects: "loss",
    drill: marketDay,
    sql: [
      newDeliveries("and outbox.filter_matches(new_deliveries.payload, s.filter_path)", "and s.filter_path is null"),
    ],
  },
  {
    name: "filters_ignored",
    breaks: "A subscription with a filter gets what the filter leaves out.",
    expects: "phantom",
    drill: marketDay,
    sql: [newDeliveries("and outbox.filter_matches(new_deliveries.payload, s.filter_path)", "")],
  },
  {
    name: "topic_prefixes_forgotten",
    breaks: "Subscriptions to a prefix such as order.* get no events.",
    expects: "loss",
    drill: marketDay,
    sql: [
      {
        name: "outbox.topic_candidates(text)",
        replace: [{ from: "if v_prefix <> '' then", to: "if false then" }],
      },
    ],
  },
  {
    name: "nothing_kept_for_open_circuits",
    breaks: "Events for a destination whose circuit is open are not kept for it.",
    expects: "loss",
    drill: circuitOpens,
    sql: [newDeliveries("and d.deleted_at is null", "and d.deleted_at is null and d.held_reason is null")],
  },
  {
    name: "deferred_fan_out_forgotten",
    breaks: "Events that were committed for a deferred fan-out are taken off the list, and that is all.",
    expects: "loss",
    drill: marketDay,
    sql: [
      {
        name: "outbox.fan_out_deferred(integer)",
        replace: [{ from: "perform outbox.fan_out_events(v_event_ids);", to: "" }],
      },
    ],
  },
  {
    name: "dedupe_off",
    breaks: "A second insert with the same dedupe_key makes a second event.",
    expects: "duplicates",
    drill: insertedAgain,
    sql: ["drop trigger _100_dedupe on outbox.events"],
  },
  {
    name: "synchronous_commit_off",
    breaks: "Postgres says that it has committed before the commit is written.",
    expects: "loss",
    drill: serverKilled,
    sql: [`do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$`],
    settings: { wal_writer_delay: "10s", wal_writer_flush_after: "1GB" },
  },
  {
    name: "retention_takes_undelivered",
    breaks: "Days past their retention are dropped with what is not delivered yet.",
    expects: "loss",
    drill: pastRetention,
    sql: [
      {
        name: "outbox.unfinished_of(text,timestamptz,integer)",
        replace: [{ from: "return v_text;", to: "return null;" }],
      },
    ],
  },
];
