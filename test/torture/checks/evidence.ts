/** Each arrival has an attempt that was recorded, or is under way. */
import type { Sink } from "../stage.ts";
import type { ArrivedEvent } from "./books.ts";
import type { StoredDelivery } from "./stored.ts";

/** Arrivals of an event at a sink, with what the database has of them. */
export interface Pair {
  readonly sink: Sink;
  readonly arrived: ArrivedEvent;
  readonly arrivals: number;
  readonly delivery: StoredDelivery | undefined;
}

/** The arrivals of one event, sink by sink. */
export const pairsOf = (arrived: ArrivedEvent, deliveries: readonly StoredDelivery[], sinks: readonly Sink[]): Pair[] =>
  sinks.flatMap((sink, place) => {
    const arrivals = arrived.counts[place] ?? 0;
    const delivery = deliveries.find(({ subscriptionId }) => subscriptionId === sink.subscriptionId);
    return arrivals === 0 ? [] : [{ sink, arrived, arrivals, delivery }];
  });

export const missingEvidenceIn = ({ sink, arrived, arrivals, delivery }: Pair): string | undefined => {
  const attempts = delivery?.attempts ?? 0;
  return arrivals > attempts
    ? `${arrived.id} arrived ${arrivals} times at ${sink.name} in ${attempts} attempts`
    : undefined;
};
