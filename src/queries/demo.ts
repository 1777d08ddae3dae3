/** What the demo shows of a database: what people would ask with psql. */
import type { ClientBase, QueryResultRow } from "pg";

const rowsOf = async <Row extends QueryResultRow>(client: ClientBase, sql: string, params: unknown[] = []) =>
  (await client.query<Row>(sql, params)).rows;

/** A destination of the demo. */
export interface DemoDestination {
  readonly name: string;
  readonly url: string;
  readonly secret: string;
  readonly topics: readonly string[];
  readonly filter?: unknown;
  readonly policy?: unknown;
}

/** Makes a webhook destination with its subscription. */
export const createWebhook = async (client: ClientBase, destination: DemoDestination): Promise<void> => {
  const { name, url, secret, topics, filter, policy } = destination;
  await client.query(
    `select outbox.create_destination(
       type => 'webhook', name => $1, config => $2, secrets => $3, topics => $4, filter => $5, policy => $6)`,
    [
      name,
      JSON.stringify({ url }),
      JSON.stringify({ signing_secret: secret }),
      topics,
      filter === undefined ? null : JSON.stringify(filter),
      JSON.stringify(policy ?? {}),
    ],
  );
};

/** How many deliveries there are, and how many of them wait. */
export const countDeliveries = async (client: ClientBase) => {
  const [row] = await rowsOf<{ pending: number; retrying: number; delivered: number }>(
    client,
    `select
       count(*) filter (where d.status = 'pending')::integer as pending,
       count(*) filter (where d.status = 'pending' and d.failure_count > 0)::integer as retrying,
       count(*) filter (where d.status = 'delivered')::integer as delivered
     from outbox.deliveries as d`,
  );
  return row ?? { pending: 0, retrying: 0, delivered: 0 };
};

/** Totals of the tables. */
export const countRows = async (client: ClientBase) => {
  const [row] = await rowsOf<{ events: number; deliveries: number; attempts: number }>(
    client,
    `select
       (select count(*) from outbox.events)::integer as events, (select count(*) from outbox.deliveries)::integer as deliveries,
       (select count(*) from outbox.attempts)::integer as attempts`,
  );
  return row ?? { events: 0, deliveries: 0, attempts: 0 };
};

/** The first events, in the order of their insertion. */
export const listEvents = (client: ClientBase, limit: number) =>
  rowsOf<{ seq: number; id: string; topic: string; key: string; payload: string }>(
    client,
    "select e.seq::integer, e.topic, e.key, e.payload::text as payload, e.id from outbox.events as e order by e.seq limit $1",
    [limit],
  );

/** The deliveries of some events. */
export const listDeliveries = (client: ClientBase, eventIds: readonly string[]) =>
  rowsOf(
    client,
    `select d.key, t.name as destination, d.status, d.attempt_count as attempts, d.finished_at
     from outbox.deliveries as d
     join outbox.destinations as t on t.id = d.destination_id
     where d.event_id = any ($1)
     order by d.seq, t.created_at`,
    [eventIds],
  );

/** The attempts of some events. */
export const listAttempts = (client: ClientBase, eventIds: readonly string[]) =>
  rowsOf(
    client,
    `select d.key, t.name as destination, a.number, a.outcome, a.code, (a.response ->> 'status')::integer as http, a.started_at, a.duration_ms as ms
     from outbox.attempts as a
     join outbox.deliveries as d on d.event_id = a.event_id and d.subscription_id = a.subscription_id
     join outbox.destinations as t on t.id = d.destination_id
     where a.event_id = any ($1)
     order by a.started_at`,
    [eventIds],
  );
