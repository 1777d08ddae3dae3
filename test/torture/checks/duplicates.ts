/**
 * An event comes again only beside an attempt whose end nobody knows, or that a person asked for; and a dedupe key stands for
 * one event.
 */
import type { ArrivedEvent, KnownEvent } from "./books.ts";
import type { Pair } from "./evidence.ts";
import type { StoredEvent } from "./stored.ts";

/** More arrivals than the attempts explain. */
export const unexplainedIn = ({ sink, arrived, arrivals, delivery }: Pair): string | undefined => {
  const doubts = delivery?.doubts ?? [];
  return arrivals > 1 + doubts.length
    ? `${arrived.id} arrived ${arrivals} times at ${sink.name}, explained by: ${doubts.join(", ") || "nothing"}`
    : undefined;
};

/** What explains the arrivals after the first. */
export const causesOf = ({ arrivals, delivery }: Pair): readonly string[] =>
  (delivery?.doubts ?? []).slice(0, arrivals - 1);

/** The same event, under another id than the one under which it came first. */
export const arrivedTwiceIn = ({ id, event }: ArrivedEvent): string | undefined =>
  event === undefined || event.arrivedAs === id
    ? undefined
    : `${event.intended.mark} arrived as ${event.arrivedAs} and as ${id}`;

/** Notes the id of an event that was found in the database; says so if it has another already. */
export const doubledIn = ({ id, mark }: StoredEvent, event: KnownEvent): string | undefined => {
  event.id ??= id;
  return event.id === id ? undefined : `${mark} is in outbox.events twice: ${event.id} and ${id}`;
};
