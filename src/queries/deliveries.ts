/** The two round trips of a batch of deliveries, giving back what was not sent, and leaving to later what was not claimed. */
import { type Kysely, sql } from "kysely";
import type { Message, ResponseRecord } from "../destination.ts";

/** A delivery's name. */
export interface DeliveryKey {
  readonly eventId: string;
  readonly subscriptionId: string;
}

/** A delivery that this worker has claimed, with all that is needed to send it. */
export interface ClaimedDelivery extends Message {
  readonly destinationId: string;
  readonly destinationVersion: number;
  /** Its place in the lane of its key; null where order does not matter. */
  readonly laneSeq: number | null;
}

/** The first of a lane, as far as it is claimed, and how many of those behind it are wanted. */
export interface FollowersWanted extends DeliveryKey {
  readonly key: string | null;
  readonly count: number;
}

/** How an attempt ended, as `outbox.record_attempts` takes it. */
export interface AttemptReport extends DeliveryKey {
  readonly number: number;
  readonly outcome: "delivered" | "retry" | "dead" | "unknown";
  readonly code?: string;
  readonly error?: string;
  readonly durationMs: number;
  readonly retryAfterMs?: number;
  readonly ours?: boolean;
  readonly disable?: boolean;
  readonly response?: ResponseRecord;
}

/** What became of a delivery that was not delivered. */
export interface UndeliveredDelivery extends DeliveryKey {
  readonly status: "pending" | "held" | "dead";
  readonly nextAttemptAt: Date | null;
}

/** The name of a delivery as one string, for maps. */
export const nameOf = ({ eventId, subscriptionId }: DeliveryKey): string => `${eventId}/${subscriptionId}`;

/** An array as Postgres reads it, of values that need no quotes: the driver would look at each for what to escape. */
const arrayOf = (values: readonly (string | number)[]): string => `{${values.join(",")}}`;

const idsOf = (keys: readonly DeliveryKey[]) =>
  [arrayOf(keys.map(({ eventId }) => eventId)), arrayOf(keys.map(({ subscriptionId }) => subscriptionId))] as const;

/** What was claimed, a column each: one value of JSON is read in a third of the time of as many rows. */
interface ClaimedColumns extends ColumnsOf<Omit<ClaimedDelivery, "occurredAt">> {
  readonly occurredAt: readonly string[];
}
type ColumnsOf<T> = { readonly [name in keyof T]: readonly T[name][] };

const rowsOf = (columns: ClaimedColumns): ClaimedDelivery[] =>
  columns.eventId.map((eventId, n) => ({
    eventId,
    subscriptionId: columns.subscriptionId[n] as string,
    attempt: columns.attempt[n] as number,
    destinationId: columns.destinationId[n] as string,
    destinationVersion: columns.destinationVersion[n] as number,
    tenantId: columns.tenantId[n] as string,
    topic: columns.topic[n] as string,
    key: columns.key[n] as string | null,
    payload: columns.payload[n] as string,
    headers: columns.headers[n] as Readonly<Record<string, string>> | null,
    traceparent: columns.traceparent[n] as string | null,
    occurredAt: new Date(columns.occurredAt[n] as string),
    laneSeq: columns.laneSeq[n] as number | null,
  }));

/** What a function claims, in its order. */
const claimedOf = async (
  kysely: Kysely<unknown>,
  claim: ReturnType<typeof sql>,
): Promise<readonly ClaimedDelivery[]> => {
  const { rows } = await sql<ClaimedColumns>`
    select
      to_json(array_agg(event_id)) as "eventId",
      to_json(array_agg(subscription_id)) as "subscriptionId",
      to_json(array_agg(attempt)) as attempt,
      to_json(array_agg(destination_id)) as "destinationId",
      to_json(array_agg(destination_version)) as "destinationVersion",
      to_json(array_agg(tenant_id)) as "tenantId",
      to_json(array_agg(topic)) as topic,
      to_json(array_agg(key)) as key,
      to_json(array_agg(payload)) as payload,
      to_json(array_agg(headers)) as headers,
      to_json(array_agg(traceparent)) as traceparent,
      to_json(array_agg(occurred_at)) as "occurredAt",
      to_json(array_agg(lane_seq)) as "laneSeq"
    from ${claim}
    having count(*) > 0`.execute(kysely);
  return rows.flatMap(rowsOf);
};

/** Claims deliveries for a worker. Those that are not to run now are left out. */
export const loadDeliveries = (
  kysely: Kysely<unknown>,
  workerId: string,
  keys: readonly DeliveryKey[],
): Promise<readonly ClaimedDelivery[]> => {
  const [eventIds, subscriptionIds] = idsOf(keys);
  return claimedOf(kysely, sql`outbox.load_deliveries(${workerId}, ${eventIds}::uuid[], ${subscriptionIds}::uuid[])`);
};

/** Claims for a worker what is right behind deliveries of lanes that it has claimed; in the order of each lane. */
export const claimFollowers = (
  kysely: Kysely<unknown>,
  workerId: string,
  wanted: readonly FollowersWanted[],
): Promise<readonly ClaimedDelivery[]> => {
  const [eventIds, subscriptionIds] = idsOf(wanted);
  const counts = arrayOf(wanted.map(({ count }) => count));
  return claimedOf(
    kysely,
    sql`outbox.claim_followers(${workerId}, ${eventIds}::uuid[], ${subscriptionIds}::uuid[], ${counts}::integer[])`,
  );
};

/** Each text once, and for each given one its place among them, from 1. */
const distinctOf = (texts: readonly string[]) => {
  const placeOf = new Map<string, number>();
  const places = texts.map((text) => {
    const place = placeOf.get(text) ?? placeOf.size + 1;
    placeOf.set(text, place);
    return place;
  });
  return { distinct: [...placeOf.keys()], places };
};

const recordDelivered = async (
  kysely: Kysely<unknown>,
  workerId: string,
  reports: readonly AttemptReport[],
): Promise<void> => {
  const [eventIds, subscriptionIds] = idsOf(reports);
  const numbers = arrayOf(reports.map(({ number }) => number));
  const durationsMs = arrayOf(reports.map(({ durationMs }) => durationMs));
  const { distinct, places } = distinctOf(reports.map(({ response }) => JSON.stringify(response ?? null)));
  await sql`
    select outbox.record_delivered(
      ${workerId}, ${eventIds}::uuid[], ${subscriptionIds}::uuid[], ${numbers}::integer[], ${durationsMs}::integer[],
      ${`[${distinct.join(",")}]`}::jsonb, ${arrayOf(places)}::integer[])`.execute(kysely);
};

const recordUndelivered = async (
  kysely: Kysely<unknown>,
  workerId: string,
  reports: readonly AttemptReport[],
): Promise<readonly UndeliveredDelivery[]> => {
  const attempts = reports.map((report) => ({
    event_id: report.eventId,
    subscription_id: report.subscriptionId,
    number: report.number,
    outcome: report.outcome,
    code: report.code,
    error: report.error,
    duration_ms: report.durationMs,
    retry_after_ms: report.retryAfterMs,
    ours: report.ours,
    disable: report.disable,
    response: report.response,
  }));
  const { rows } = await sql<UndeliveredDelivery>`
    select event_id as "eventId", subscription_id as "subscriptionId", status, next_attempt_at as "nextAttemptAt"
    from outbox.record_attempts(${workerId}, ${JSON.stringify(attempts)}::json)`.execute(kysely);
  return rows;
};

/** Records attempts, those that were delivered and the others side by side; returns the deliveries that are not delivered. */
export const recordAttempts = async (
  kysely: Kysely<unknown>,
  workerId: string,
  reports: readonly AttemptReport[],
): Promise<readonly UndeliveredDelivery[]> => {
  const { true: delivered = [], false: others = [] } = Object.groupBy(reports, ({ outcome }) =>
    outcome === "delivered" ? "true" : "false",
  );
  const [rows] = await Promise.all([
    others.length === 0 ? [] : recordUndelivered(kysely, workerId, others),
    delivered.length === 0 ? undefined : recordDelivered(kysely, workerId, delivered),
  ]);
  return rows;
};

/** Gives back deliveries that nothing was sent for, and wakes them again. */
export const unclaimDeliveries = async (
  kysely: Kysely<unknown>,
  workerId: string,
  keys: readonly DeliveryKey[],
): Promise<void> => {
  const [eventIds, subscriptionIds] = idsOf(keys);
  await sql`select outbox.unclaim_deliveries(${workerId}, ${eventIds}::uuid[], ${subscriptionIds}::uuid[])`.execute(
    kysely,
  );
};

/** Gives back all that a worker has claimed behind deliveries of lanes: the answer to such a claim was lost. */
export const unclaimFollowers = async (
  kysely: Kysely<unknown>,
  workerId: string,
  firsts: readonly DeliveryKey[],
): Promise<void> => {
  const [eventIds, subscriptionIds] = idsOf(firsts);
  await sql`select outbox.unclaim_followers(${workerId}, ${eventIds}::uuid[], ${subscriptionIds}::uuid[])`.execute(
    kysely,
  );
};

/** Leaves deliveries that nobody has claimed to a later time, each to its own. */
export const postponeDeliveries = async (
  kysely: Kysely<unknown>,
  keys: readonly DeliveryKey[],
  delaysMs: readonly number[],
): Promise<void> => {
  const [eventIds, subscriptionIds] = idsOf(keys);
  await sql`select outbox.postpone_deliveries(
    ${eventIds}::uuid[], ${subscriptionIds}::uuid[], ${arrayOf(delaysMs)}::integer[])`.execute(kysely);
};
