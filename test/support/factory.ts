/** The smallest valid rows: a maker takes what its test is about and fills in the rest. */
import type pg from "pg";
import type { TestDatabase } from "./database.ts";

/** Whatever runs a statement: a database, or one connection of it. */
export interface Runner {
  query(sql: string, params?: unknown[]): Promise<unknown>;
}

export interface GivenDestination {
  readonly config?: object;
  readonly secrets?: object;
  readonly topics?: readonly string[];
  readonly filter?: object | null;
  readonly tenantId?: string;
  readonly name?: string;
  readonly policy?: object;
  /** Whether its subscription is ordered. */
  readonly ordered?: boolean;
  readonly onDead?: "block" | "skip" | "park";
}

export interface MadeDestination {
  readonly id: string;
  /** Of the subscription that was made with it. */
  readonly subscriptionId: string;
}

/** Columns of `outbox.events`; `payload` is JSON text. */
export type GivenEvent = Readonly<Record<string, unknown>>;

export interface MadeEvent {
  readonly id: string;
  readonly seq: string;
}

/** A row of `outbox.deliveries` as far as tests look at it. */
export interface Delivery {
  readonly event_id: string;
  readonly subscription_id: string;
  readonly status: "pending" | "held" | "delivered" | "dead" | "cancelled";
  readonly attempt_count: number;
  readonly failure_count: number;
  readonly error_code: string | null;
  readonly next_attempt_at: Date | null;
  readonly job_at: Date | null;
  readonly claimed_by: string | null;
  readonly held_reason: string | null;
  readonly finished_at: Date | null;
  readonly redriven_by: string | null;
}

const rowsOf = async <R extends pg.QueryResultRow>(on: Runner, sql: string, params: unknown[]): Promise<R[]> => {
  const result = await on.query(sql, params);
  return Array.isArray(result) ? result : (result as pg.QueryResult<R>).rows;
};

const jsonOrNull = (value: object | null | undefined): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value);

/** Makes a webhook destination that wants everything; without a config it points to nowhere that answers. */
export async function addDestination(on: Runner, given: GivenDestination = {}): Promise<MadeDestination> {
  const [made] = await rowsOf<MadeDestination>(
    on,
    `with made as materialized (
       select outbox.create_destination('webhook', $1, secrets => $2, topics => $3, filter => $4,
         tenant_id => $5, name => $6, policy => $7, ordered => $8, on_dead => $9) as id
     )
     select made.id from made`,
    [
      JSON.stringify(given.config ?? { url: "https://example.com/hook" }),
      JSON.stringify(given.secrets ?? {}),
      given.topics ?? ["*"],
      jsonOrNull(given.filter),
      given.tenantId ?? "default",
      given.name ?? null,
      JSON.stringify(given.policy ?? {}),
      given.ordered ?? false,
      given.onDead ?? "block",
    ],
  );
  const id = made?.id ?? "";
  const [subscription] = await rowsOf<{ id: string }>(
    on,
    "select id from outbox.subscriptions where destination_id = $1",
    [id],
  );
  return { id, subscriptionId: subscription?.id ?? "" };
}

/** Inserts an event as a producer does. One that is skipped as a duplicate is undefined. */
export async function insertEvent(on: Runner, given: GivenEvent = {}): Promise<MadeEvent | undefined> {
  const row = { topic: "order.paid", payload: "{}", ...given };
  const columns = Object.keys(row);
  const [made] = await rowsOf<MadeEvent>(
    on,
    `insert into outbox.events (${columns.join(", ")}) values (${columns.map((_, i) => `$${i + 1}`).join(", ")})
     returning id, seq`,
    Object.values(row),
  );
  return made;
}

/** Inserts an event that must not be skipped. */
export async function addEvent(on: Runner, given: GivenEvent = {}): Promise<MadeEvent> {
  const made = await insertEvent(on, given);
  if (made === undefined) throw new Error("The event was skipped as a duplicate");
  return made;
}

/** Inserts n events with one statement: order.paid, with a payload of {"n": 1} and so on. */
export const addEvents = (on: Runner, n: number): Promise<MadeEvent[]> =>
  rowsOf(
    on,
    `insert into outbox.events (topic, payload)
     select 'order.paid', json_build_object('n', n) from generate_series(1, $1) as n returning id, seq`,
    [n],
  );

/** Inserts n events whose ids are a millisecond apart: before Postgres 18, ids of one millisecond have no order. */
export const addEventsApart = (on: Runner, n: number): Promise<MadeEvent[]> =>
  rowsOf(
    on,
    `insert into outbox.events (id, topic, payload)
     select overlay(outbox.uuid_v7()::text placing left(outbox.uuid_at(at)::text, 13) from 1)::uuid, 'order.paid', json_build_object('n', n)
     from generate_series(1, $1) as n, lateral (select now() - make_interval(secs => ($1 - n) / 1000.0) as at) as t
     order by n returning id, seq`,
    [n],
  );

/** An event that is so many days old, by its id and by its times. */
export async function addOldEvent(db: TestDatabase, daysAgo: number): Promise<MadeEvent> {
  const { at, id } = await db.one<{ at: Date; id: string }>(
    "select t.at, outbox.uuid_at(t.at) as id from (select now() - make_interval(days => $1)) as t (at)",
    [daysAgo],
  );
  return addEvent(db, { id, created_at: at, occurred_at: at });
}

/** The deliveries of an event, or of all, in the order of events. */
export const deliveriesOf = (on: Runner, eventId?: string): Promise<Delivery[]> =>
  rowsOf<Delivery & pg.QueryResultRow>(
    on,
    "select * from outbox.deliveries where $1::uuid is null or event_id = $1 order by seq, subscription_id",
    [eventId ?? null],
  );

/** The only delivery of an event. */
export async function deliveryOf(on: Runner, eventId: string): Promise<Delivery> {
  const [delivery, ...others] = await deliveriesOf(on, eventId);
  if (delivery === undefined || others.length > 0) throw new Error("The event has not exactly one delivery");
  return delivery;
}

/** Event ids in the order of subscription and event, of every job that waits. */
export const jobsOf = (on: Runner): Promise<{ deliveries: Record<string, string[]>; run_at: Date }[]> =>
  rowsOf(on, `select payload -> 'deliveries' as deliveries, run_at from graphile_worker._private_jobs order by id`, []);
