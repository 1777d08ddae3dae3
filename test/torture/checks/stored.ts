/** What the database says became of events: its deliveries, and what their attempts explain. */
import type { Admin } from "../stage.ts";

/** A delivery as far as the checks look at it. */
export interface StoredDelivery {
  readonly eventId: string;
  readonly subscriptionId: string;
  readonly status: "pending" | "held" | "delivered" | "dead" | "cancelled";
  readonly errorCode: string | null;
  /** Attempts that are recorded, and the one under way. */
  readonly attempts: number;
  /** Attempts after which nobody knows whether the event has arrived, and those that a person asked for: why, in order. */
  readonly doubts: readonly string[] | null;
}

/** An event with its deliveries. */
export interface StoredEvent {
  readonly id: string;
  readonly mark: string | null;
  /** Committed with deferred fan-out, which is still to come. */
  readonly isDeferred: boolean;
  readonly deliveries: readonly StoredDelivery[];
}

/**
 * A cancelled delivery gives up its claim before its attempt is recorded, so that there its own count has to do. A garbled
 * answer (protocol) and a death that made the delivery a dead letter (poison) leave the same doubt as none.
 */
const deliveriesWhere = (condition: string): string => `
  select d.event_id as "eventId", d.subscription_id as "subscriptionId", d.status, d.error_code as "errorCode", a.doubts,
    case d.status when 'cancelled' then d.attempt_count else coalesce(a.attempts, 0) + (d.claimed_by is not null)::integer end as attempts
  from outbox.deliveries as d
  left join (
    select t.event_id, t.subscription_id, count(distinct t.number)::integer as attempts,
      array_agg(concat_ws(' ', nullif(t.trigger, 'event'), t.outcome, t.code) order by t.number) filter (where not t.late and (
        t.outcome = 'unknown' or t.code in ('timeout', 'reset', 'protocol', 'poison') or t.trigger in ('redrive', 'replay'))) as doubts
    from outbox.attempts as t
    where t.event_id ${condition}
    group by t.event_id, t.subscription_id
  ) as a on a.event_id = d.event_id and a.subscription_id = d.subscription_id
  where d.event_id ${condition}
  order by d.event_id`;

/** All deliveries of these events. */
export const readDeliveries = (admin: Admin, eventIds: readonly string[]): Promise<StoredDelivery[]> =>
  eventIds.length === 0 ? Promise.resolve([]) : admin.query(deliveriesWhere("= any ($1::uuid[])"), [eventIds]);

const eventsOfPage = 10_000;

const readPage = async (admin: Admin, after: string): Promise<readonly StoredEvent[]> => {
  const events = await admin.query<Omit<StoredEvent, "deliveries">>(
    `select e.id, e.payload ->> 'mark' as mark, e.id in (select unnest(q.event_ids) from outbox.deferred_events as q) as "isDeferred"
     from outbox.events as e where e.id > $1 order by e.id limit ${eventsOfPage}`,
    [after],
  );
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) return [];
  const rows = await admin.query<StoredDelivery>(deliveriesWhere("between $1 and $2"), [first.id, last.id]);
  const deliveries = Map.groupBy(rows, ({ eventId }) => eventId);
  return events.map((event) => ({ ...event, deliveries: deliveries.get(event.id) ?? [] }));
};

/** All events that are committed, in pages. */
export async function* readEvents(admin: Admin): AsyncGenerator<readonly StoredEvent[]> {
  for (let after = "00000000-0000-0000-0000-000000000000"; ; ) {
    const page = await readPage(admin, after);
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    after = last.id;
  }
}
