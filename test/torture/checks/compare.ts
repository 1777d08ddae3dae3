/** The books and the database, compared event by event. */
import type { Admin, Sink } from "../stage.ts";
import type { ArrivedEvent, Books, KnownEvent } from "./books.ts";
import { causesOf, doubledIn, unexplainedIn } from "./duplicates.ts";
import { missingEvidenceIn, pairsOf } from "./evidence.ts";
import type { Findings } from "./findings.ts";
import { findForgotten, lossesOf, type Suspect } from "./loss.ts";
import { phantomOf } from "./phantom.ts";
import { readDeliveries, readEvents, type StoredDelivery, type StoredEvent } from "./stored.ts";

export interface Comparison {
  readonly admin: Admin;
  readonly sinks: readonly Sink[];
  readonly books: Books;
  readonly findings: Findings;
}

/** Judges the arrivals of one event by what the database has of them; resolves with what explains the repetitions. */
const judgeArrived = (
  { sinks, findings }: Comparison,
  arrived: ArrivedEvent,
  deliveries: readonly StoredDelivery[],
): readonly string[] => {
  if (phantomOf(arrived) !== undefined) return [];
  const pairs = pairsOf(arrived, deliveries, sinks);
  for (const pair of pairs) {
    const missing = missingEvidenceIn(pair);
    findings.add("evidence", [missing]);
    // What has no attempt is no more explained by one.
    if (missing === undefined) findings.add("duplicates", [unexplainedIn(pair)]);
  }
  return pairs.flatMap(causesOf);
};

/** Compares what has just arrived. */
export const compareArrived = async (comparison: Comparison, arrived: readonly ArrivedEvent[]): Promise<void> => {
  const ids = arrived.filter(({ isStored }) => isStored).map(({ id }) => id);
  const deliveries = Map.groupBy(await readDeliveries(comparison.admin, ids), ({ eventId }) => eventId);
  for (const each of arrived) judgeArrived(comparison, each, deliveries.get(each.id) ?? []);
};

/** What a look through all of the database has shown beside violations. */
export interface Compared {
  readonly suspects: readonly Suspect[];
  /** How many arrivals are explained by what. */
  readonly causes: Readonly<Record<string, number>>;
}

/** Compares everything. */
export const compareAll = async (comparison: Comparison): Promise<Compared> => {
  const { admin, sinks, books, findings } = comparison;
  const suspects: Suspect[] = [];
  const causes: Record<string, number> = {};
  const compareOne = (stored: StoredEvent, event: KnownEvent): void => {
    findings.add("duplicates", [doubledIn(stored, event)]);
    const found = lossesOf(stored, event, sinks, books);
    findings.add("loss", found.losses);
    suspects.push(...found.suspects);
    const arrived = books.arrived.get(stored.id);
    const explained = arrived === undefined ? [] : judgeArrived(comparison, arrived, stored.deliveries);
    for (const cause of explained) causes[cause] = (causes[cause] ?? 0) + 1;
  };
  for await (const page of readEvents(admin)) {
    for (const stored of page) {
      const event = books.events.get(stored.mark ?? "");
      if (event !== undefined) compareOne(stored, event);
    }
  }
  findings.add("loss", findForgotten(books));
  return { suspects, causes };
};
