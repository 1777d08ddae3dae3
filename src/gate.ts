/** A limit to what is under way at the same time. */
import { createLoop } from "./loop.ts";

/** What waits before a limit. */
export interface Gate<T> {
  /** Puts items behind those that wait. */
  readonly add: (items: readonly T[]) => void;
  /** One of those that were started has ended. @returns whether nothing is left: none under way, none that waits */
  readonly ended: () => boolean;
  /** Takes out what waits, and starts nothing more of it. */
  readonly drain: () => readonly T[];
}

/**
 * Lets so many items be under way. What there is room for is started together, once in a turn of the event loop.
 * @param start gets items in the order in which they were added; must neither throw nor reject
 */
export const createGate = <T>(sizeMax: number, start: (items: readonly T[]) => unknown): Gate<T> => {
  const waiting: T[] = [];
  let underWay = 0;
  const startMore = createLoop(async () => {
    const items = waiting.splice(0, sizeMax - underWay);
    if (items.length === 0) return;
    underWay += items.length;
    start(items);
  });
  return {
    add: (items) => {
      waiting.push(...items);
      startMore();
    },
    ended: () => {
      underWay -= 1;
      if (waiting.length > 0) startMore();
      return underWay === 0 && waiting.length === 0;
    },
    drain: () => waiting.splice(0),
  };
};
