/**
 * Everything that was committed has a delivery to each sink that wants it, was delivered, and has arrived. What is still on
 * its way, or should be, is for the checks of liveness and limbo.
 */
import type { Sink } from "../stage.ts";
import { type Books, isAcknowledged, isRejected, type KnownEvent } from "./books.ts";
import type { StoredEvent } from "./stored.ts";
import { wants } from "./wanted.ts";

/** Said to be delivered, and not in the sink's ledger: not yet, perhaps, where a broker is between. */
export interface Suspect {
  readonly eventId: string;
  readonly place: number;
  readonly what: string;
}

/** What this event has lost, and what it may have lost. */
export const lossesOf = (stored: StoredEvent, event: KnownEvent, sinks: readonly Sink[], books: Books) => {
  const losses: string[] = [];
  const suspects: Suspect[] = [];
  const counts = books.arrived.get(stored.id)?.counts ?? [];
  const isLookedFor = !stored.isDeferred && !isRejected(event);
  for (const [place, sink] of sinks.entries()) {
    if (!isLookedFor || !wants(sink, event.intended)) continue;
    const delivery = stored.deliveries.find(({ subscriptionId }) => subscriptionId === sink.subscriptionId);
    const what = `${stored.id} (${event.intended.mark}) for ${sink.name}`;
    const hasArrived = (counts[place] ?? 0) > 0;
    if (delivery === undefined) {
      if (!hasArrived) losses.push(`${what} has no delivery`);
    } else if (delivery.status === "dead" || delivery.status === "cancelled") {
      losses.push(`${what} is ${delivery.status}: ${delivery.errorCode}`);
    } else if (delivery.status === "delivered" && !hasArrived && !event.hasStrayed) {
      suspects.push({ eventId: stored.id, place, what: `${what} is delivered and never arrived` });
    }
  }
  return { losses, suspects };
};

/** Suspects that have not arrived since. */
export const stillMissing = (suspects: readonly Suspect[], books: Books): readonly Suspect[] =>
  suspects.filter(({ eventId, place }) => !((books.arrived.get(eventId)?.counts[place] ?? 0) > 0));

/** What was acknowledged and is not in the database; to be asked when all of the database was read. */
export const findForgotten = (books: Books): readonly string[] =>
  [...books.events.values()].flatMap((event) =>
    event.id === undefined && isAcknowledged(event)
      ? [`${event.intended.mark} of ${event.intended.tenant} was acknowledged and is not in outbox.events`]
      : [],
  );
