/** Judges what was promised by what the receivers saw, not by what the database says. */
import type { Arrival } from "./receiver.ts";
import type { Order } from "./shop.ts";

/** A promise, and whether it was seen to hold. */
export interface Promised {
  readonly held: boolean;
  readonly sentence: string;
}

/** All that happened. */
export interface Story {
  readonly orders: readonly Order[];
  /** Arrivals at each receiver. */
  readonly warehouse: readonly Arrival[];
  readonly erp: readonly Arrival[];
  readonly accounting: readonly Arrival[];
  readonly accountingMin: number;
  readonly retryAfterMs: number;
  readonly verifiedBy: string;
}

const accepted = (arrivals: readonly Arrival[]) => arrivals.filter(({ status }) => status < 300);

/** Exactly these payloads, whatever the order; at least once each. */
const sameBodies = (arrivals: readonly Arrival[], orders: readonly Order[]): boolean => {
  const seen = new Set(arrivals.map(({ body }) => body));
  return seen.size === orders.length && orders.every(({ payload }) => seen.has(payload));
};

const rolledBack = ({ orders, warehouse, erp, accounting }: Story): Promised => {
  const declined = orders.filter(({ paid }) => !paid);
  const heard = [...warehouse, ...erp, ...accounting].filter(({ body }) =>
    declined.some(({ number }) => body.includes(`"${number}"`)),
  );
  return {
    held: declined.length > 0 && heard.length === 0,
    sentence: `Rolled back, not sent: ${declined.length} orders were rolled back, and no receiver has heard of them.`,
  };
};

const committed = ({ orders, warehouse, erp }: Story): Promised => {
  const paid = orders.filter((order) => order.paid);
  const ids = new Set(warehouse.map(({ eventId }) => eventId));
  return {
    held:
      paid.length > 0 &&
      ids.size === paid.length &&
      sameBodies(accepted(warehouse), paid) &&
      sameBodies(accepted(erp), paid),
    sentence: `Committed, delivered: the events of all ${paid.length} committed orders arrived at warehouse and at erp.`,
  };
};

const unchanged = ({ orders, warehouse, erp, accounting }: Story): Promised => {
  const payloads = new Set(orders.map(({ payload }) => payload));
  const bodies = [...warehouse, ...erp, ...accounting].map(({ body }) => body);
  return {
    held: bodies.length > 0 && bodies.every((body) => payloads.has(body)),
    sentence:
      "Byte for byte: every payload arrived as it was inserted: 120.10 kept its zero, 12345678901234567890 its digits.",
  };
};

const retried = ({ erp, retryAfterMs }: Story): Promised => {
  const refused = erp.filter(({ status }) => status === 503);
  const inTime = refused.every((first) => {
    const second = erp.find(({ eventId, at }) => eventId === first.eventId && at > first.at);
    // Timers end up to a millisecond early.
    return second !== undefined && second.at - first.at >= retryAfterMs - 5;
  });
  const ids = new Set(accepted(erp).map(({ eventId }) => eventId));
  return {
    held: refused.length > 0 && inTime && refused.every(({ eventId }) => ids.has(eventId)),
    sentence:
      `Failed, tried again: erp refused ${refused.length} requests; each came again, not sooner than the ` +
      `${retryAfterMs / 1_000} s it had asked for, and was delivered.`,
  };
};

const filtered = ({ orders, accounting, accountingMin }: Story): Promised => {
  const paid = orders.filter((order) => order.paid);
  const wanted = paid.filter(({ total }) => Number(total) >= accountingMin);
  return {
    held: wanted.length < paid.length && sameBodies(accepted(accounting), wanted),
    sentence:
      `Filtered, not sent: accounting wants totals from ${accountingMin}. It got its ${wanted.length} events, and ` +
      `none of the other ${paid.length - wanted.length}.`,
  };
};

const signed = ({ warehouse, erp, accounting, verifiedBy }: Story): Promised => {
  const all = [...warehouse, ...erp, ...accounting];
  return {
    held: all.length > 0 && all.every(({ verified }) => verified),
    sentence: `Signed: ${verifiedBy} verified the signature of each of the ${all.length} requests.`,
  };
};

/** Each promise, in the order in which an event lives. */
export const judge = (story: Story): readonly Promised[] =>
  [rolledBack, committed, unchanged, retried, filtered, signed].map((promise) => promise(story));
