/**
 * The ledgers of producers and sinks, joined in memory: each event by its mark, each arrival by the event's id. The database
 * is asked only which event an id is, for every id once.
 */
import type {
  Admin,
  CanaryEntry,
  Cluster,
  IntendedEvent,
  Producers,
  Sink,
  SinkEntry,
  Sinks,
  WorkerProcess,
} from "../stage.ts";
import { wants } from "./wanted.ts";

/** What the checks take of a stage. */
export interface CheckerInput {
  readonly admin: Admin;
  readonly sinks: Pick<Sinks, "all" | "read">;
  readonly producers: Pick<Producers, "read">;
  readonly canaries: () => readonly CanaryEntry[];
  readonly secrets: readonly string[];
  readonly cluster: Pick<Cluster, "logFile">;
  readonly fleet: { readonly workers: readonly Pick<WorkerProcess, "logFile">[] };
}

/** A try to commit events. One whose commit was not answered is `open`. */
export interface Batch {
  outcome: "open" | "ack" | "reject" | "unknown";
}

/** An event as its producer knows it; inserted again it is in several batches. */
export interface KnownEvent {
  readonly intended: IntendedEvent;
  readonly batches: Batch[];
  /** Its id in the database, once it was seen there. */
  id: string | undefined;
  /** The id under which it came first. */
  arrivedAs: string | undefined;
  /** It came where it does not belong. */
  hasStrayed: boolean;
}

/** An id that sinks have seen. */
export interface ArrivedEvent {
  readonly id: string;
  /** Whether it is in outbox.events. */
  readonly isStored: boolean;
  /** Postrider speaks for itself: alerts, tests of destinations. */
  readonly isOwn: boolean;
  readonly event: KnownEvent | undefined;
  /** How often it came to each sink that wants it, by the sink's place in `sinks.all`. */
  readonly counts: number[];
}

/** A line of a sink's ledger. */
export interface Arrival {
  readonly entry: SinkEntry;
  readonly sink: Sink;
  readonly arrived: ArrivedEvent;
  /** The how many-eth of this event at this sink; 0 where the event is not known or not wanted. */
  readonly nth: number;
}

export interface Books {
  readonly events: ReadonlyMap<string, KnownEvent>;
  readonly arrived: ReadonlyMap<string, ArrivedEvent>;
  /** All arrivals so far, and those of an event at a sink after the first. */
  readonly arrivals: number;
  readonly repeats: number;
  /** Reads on in the ledgers; resolves with what has arrived since. */
  readonly read: () => Promise<readonly Arrival[]>;
}

/** Whether no commit of the event can have happened. */
export const isRejected = ({ batches }: KnownEvent): boolean => batches.every(({ outcome }) => outcome === "reject");
export const isAcknowledged = ({ batches }: KnownEvent): boolean => batches.some(({ outcome }) => outcome === "ack");

const readStored = (admin: Admin, ids: readonly string[]) =>
  admin.query<{ id: string; topic: string; mark: string | null }>(
    `select e.id, e.topic, e.payload ->> 'mark' as mark from outbox.events as e where e.id = any ($1::uuid[])`,
    [ids],
  );

/** What a hostile body says is its id may be anything. */
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Opens books that nothing was read into. */
export const openBooks = ({ admin, sinks, producers }: CheckerInput): Books => {
  const batches = new Map<string, Batch>();
  const events = new Map<string, KnownEvent>();
  const arrived = new Map<string, ArrivedEvent>();
  let arrivals = 0;
  let repeats = 0;

  const intend = (intended: IntendedEvent, batch: Batch): void => {
    const known = events.get(intended.mark);
    if (known !== undefined) known.batches.push(batch);
    else
      events.set(intended.mark, { intended, batches: [batch], id: undefined, arrivedAs: undefined, hasStrayed: false });
  };
  const readProducers = (): void => {
    for (const entry of producers.read()) {
      const batch: Batch = batches.get(entry.batch) ?? { outcome: "open" };
      if (entry.kind !== "intent") batch.outcome = entry.kind;
      else if (!batches.has(entry.batch)) for (const intended of entry.events) intend(intended, batch);
      batches.set(entry.batch, batch);
    }
  };
  const identify = async (entries: readonly SinkEntry[]): Promise<void> => {
    const unseen = [...new Set(entries.map(({ id }) => id))].filter((id) => !arrived.has(id));
    if (unseen.length === 0) return;
    const rows = await readStored(
      admin,
      unseen.filter((id) => uuidPattern.test(id)),
    );
    const stored = new Map(rows.map((row) => [row.id, row]));
    for (const id of unseen) {
      const row = stored.get(id);
      const event = events.get(row?.mark ?? "");
      if (event !== undefined) event.arrivedAs ??= id;
      arrived.set(id, {
        id,
        isStored: row !== undefined,
        isOwn: row?.topic.startsWith("postrider.") ?? false,
        event,
        counts: [],
      });
    }
  };
  const enter = (entry: SinkEntry): Arrival => {
    const place = sinks.all.findIndex(({ name }) => name === entry.sink);
    const sink = sinks.all[place];
    const from = arrived.get(entry.id);
    if (sink === undefined || from === undefined) throw new Error(`Nobody has added the sink ${entry.sink}`);
    const { event, counts } = from;
    const isWanted = event !== undefined && wants(sink, event.intended);
    if (event !== undefined && !isWanted) event.hasStrayed = true;
    const nth = isWanted ? (counts[place] ?? 0) + 1 : 0;
    if (isWanted) counts[place] = nth;
    arrivals += 1;
    if (nth > 1) repeats += 1;
    return { entry, sink, arrived: from, nth };
  };
  return {
    events,
    arrived,
    get arrivals() {
      return arrivals;
    },
    get repeats() {
      return repeats;
    },
    read: async () => {
      // In this order: whatever has arrived was intended, and is in the database, when these are read.
      const entries = sinks.read();
      readProducers();
      await identify(entries);
      return entries.map(enter);
    },
  };
};
