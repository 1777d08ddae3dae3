/** Deliveries of a destination wait here until few enough of its others are under way. */
import { batched } from "./batch.ts";
import { createGate, type Gate } from "./gate.ts";
import type { ClaimedDelivery } from "./queries/deliveries.ts";

/** What waits for its turn. */
export interface Waiting {
  readonly delivery: ClaimedDelivery;
  /** When it was claimed, on the clock of `performance`. */
  readonly claimedAt: number;
}

/** What turns need. */
export interface TurnsOptions<W extends Waiting> {
  /** Which of these destinations are disabled or deleted. */
  readonly listClosed: (destinationIds: readonly string[]) => Promise<readonly string[]>;
  /** Sends what has its turn. Must neither throw nor reject. */
  readonly start: (group: readonly W[]) => unknown;
  /** Gets what is not to be sent. */
  readonly giveBack: (group: readonly W[]) => void;
}

/** The turns of all destinations. */
export interface Turns<W extends Waiting> {
  /** Puts deliveries of one destination behind its others. */
  readonly add: (destinationId: string, group: readonly W[]) => void;
  /** One of those that were started has ended. */
  readonly ended: (destinationId: string) => void;
  /** Takes out all that wait. */
  readonly drain: () => readonly W[];
}

/** Deliveries that one destination may have under way one by one: the clock of the others has not started. */
const underWayMax = 128;
/** What was claimed longer ago is sent only if its destination is found open, at most so long ago. */
const knownOpenMs = 300;

/** The turns at one destination. */
interface Destination<W> {
  readonly gate: Gate<W>;
  /** When it was last found open. */
  openAt: number;
}

/** Creates the turns of one worker process. */
export const createTurns = <W extends Waiting>({ listClosed, start, giveBack }: TurnsOptions<W>): Turns<W> => {
  const destinations = new Map<string, Destination<W>>();
  const isClosed = batched<string, boolean>(
    async (ids) => {
      const closed = new Set(await listClosed(ids));
      return ids.map((id) => closed.has(id));
    },
    { sizeMax: 100, parallelMax: 1 },
  );

  const ended = (id: string): void => {
    if (destinations.get(id)?.gate.ended()) destinations.delete(id);
  };

  /** A database that does not answer has not committed that a destination is closed. */
  const findOpen = async (id: string, destination: Destination<W>): Promise<boolean> => {
    const askedAt = performance.now();
    const isOpen = !(await isClosed(id).catch(() => false));
    if (isOpen) destination.openAt = askedAt;
    return isOpen;
  };

  const startInTurn = async (id: string, group: readonly W[]): Promise<void> => {
    const destination = destinations.get(id) as Destination<W>;
    const claimedAt = Math.min(...group.map((waiting) => waiting.claimedAt));
    const knownAt = Math.max(claimedAt, destination.openAt);
    if (performance.now() - knownAt < knownOpenMs || (await findOpen(id, destination))) {
      start(group);
      return;
    }
    giveBack([...group, ...destination.gate.drain()]);
    for (const _ of group) ended(id);
  };

  const open = (id: string): Destination<W> => {
    const destination = { gate: createGate<W>(underWayMax, (group) => startInTurn(id, group)), openAt: 0 };
    destinations.set(id, destination);
    return destination;
  };

  return {
    add: (id, group) => (destinations.get(id) ?? open(id)).gate.add(group),
    ended,
    drain: () => [...destinations.values()].flatMap(({ gate }) => gate.drain()),
  };
};
