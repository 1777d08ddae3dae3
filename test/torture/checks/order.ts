/**
 * Per key of an ordered sink, events come first in the order of their commits. What comes again may be any that came before:
 * that it does so only beside an unknown attempt is for the check of duplicates.
 */
import type { IntendedEvent } from "../stage.ts";
import type { Arrival } from "./books.ts";

export interface OrderCheck {
  /** Looks at arrivals in the order of the sink's ledger. */
  readonly disorderIn: (arrival: Arrival) => string | undefined;
}

/** Begins with no key seen. */
export const createOrderCheck = (): OrderCheck => {
  const lasts = new Map<string, IntendedEvent>();
  return {
    disorderIn: ({ sink, arrived: { id, event }, nth }) => {
      const key = event?.intended.key;
      if (!sink.ordered || event === undefined || key === undefined || nth !== 1 || event.arrivedAs !== id)
        return undefined;
      const lane = `${sink.name} ${key}`;
      const last = lasts.get(lane);
      if (last === undefined || event.intended.n > last.n) {
        lasts.set(lane, event.intended);
        return undefined;
      }
      return `${id} (${event.intended.mark}) is ${event.intended.n} of ${key} and came to ${sink.name} after ${last.n} (${last.mark})`;
    },
  };
};
