/** Nothing arrives that was not committed, or that the sink has not asked for. */
import { type Arrival, type ArrivedEvent, type Books, isRejected } from "./books.ts";
import { isOfTenant } from "./wanted.ts";

/** Why this event cannot have been sent; undefined where it can. */
export const phantomOf = ({ id, isStored, isOwn, event }: ArrivedEvent): string | undefined => {
  if (!isStored) return `${id} arrived and is not in outbox.events`;
  if (isOwn) return undefined;
  if (event === undefined) return `${id} arrived and no producer knows it`;
  return isRejected(event) ? `${id} (${event.intended.mark}) arrived and was rolled back` : undefined;
};

/** All that has arrived so far. A producer may hear of its failure after a sink has heard of the event. */
export const findPhantoms = (books: Books): readonly string[] =>
  [...books.arrived.values()].flatMap((arrived) => phantomOf(arrived) ?? []);

/** An event of its own tenant, at a sink whose topics or filter leave it out. */
export const unwantedIn = ({ arrived: { id, event }, sink, nth }: Arrival): string | undefined =>
  event !== undefined && nth === 0 && isOfTenant(sink, event.intended)
    ? `${id} (${event.intended.mark}, ${event.intended.topic}, ${event.intended.amount}) arrived at ${sink.name}, which does not want it`
    : undefined;
