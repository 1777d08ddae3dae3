/** When deliveries are claimed, and how many at once: many, since a row costs more in a small batch; few, where others would wait. */
import { setTimeout as pause } from "node:timers/promises";
import type { Weight } from "./fair-queue.ts";
import { createLoop } from "./loop.ts";

/** What claiming needs. */
export interface ClaimingOptions {
  /** Deliveries that may be under way at the same time. */
  readonly inFlightMax: number;
  /** How many more may be under way. */
  readonly free: () => number;
  /** How many wait in light or heavy flows and have their turn as soon as there is a place. */
  readonly ready: (weight: Weight) => number;
  /** Claims at most so many and has them sent. Must not reject. @returns how many it asked for */
  readonly claim: (weight: Weight, countMax: number) => Promise<number>;
}

export interface Claiming {
  /** To be called when more waits, or more is free. */
  readonly more: () => void;
  /** Takes all that waits, whatever is free. */
  readonly unlimit: () => void;
}

/** How many deliveries go into one statement. */
export const batchSizeMax = 500;
/** Where places are scarce, claims wait a moment for a quarter of them. */
const scarceShare = 1 / 4;
const scarceWaitMs = 10;
/**
 * While light flows come, heavy ones are claimed for in small batches, and for a sixth of the time: for what they cost the
 * database and this process's one thread, everybody else waits.
 */
const considerateSizeMax = 100;
const considerateShare = 1 / 6;
const consideratePauseMsMax = 150;
/** Light flows come when one came so lately. */
const latelyMs = 500;

const pauseMsAfter = (roundMs: number): number => Math.min(roundMs / considerateShare - roundMs, consideratePauseMsMax);

/** Claims until it is stopped, for light flows and for heavy ones side by side. */
export const createClaiming = ({ inFlightMax, free, ready, claim }: ClaimingOptions): Claiming => {
  let limited = true;
  let lightAt = Number.NEGATIVE_INFINITY;
  const patience: Record<Weight, "none" | "waiting" | "over"> = { light: "none", heavy: "none" };
  const scarceSize = Math.min(Math.ceil(inFlightMax * scarceShare), batchSizeMax);

  const isConsiderate = (weight: Weight): boolean =>
    limited && weight === "heavy" && performance.now() - lightAt < latelyMs;

  const sizeFor = (weight: Weight): number => {
    if (!limited) return batchSizeMax;
    const sizeMax = isConsiderate(weight) ? considerateSizeMax : batchSizeMax;
    const room = Math.min(free(), sizeMax);
    if (room < Math.min(ready(weight), scarceSize, sizeMax) && patience[weight] !== "over") {
      if (patience[weight] === "none") {
        setTimeout(() => {
          patience[weight] = "over";
          more();
        }, scarceWaitMs);
      }
      patience[weight] = "waiting";
      return 0;
    }
    if (patience[weight] === "over") patience[weight] = "none";
    return room;
  };

  const round = async (weight: Weight): Promise<void> => {
    const startedAt = performance.now();
    const size = sizeFor(weight);
    const claimed = size > 0 ? await claim(weight, size) : 0;
    if (claimed === 0) return;
    const endedAt = performance.now();
    if (weight === "light") lightAt = endedAt;
    if (isConsiderate(weight)) await pause(pauseMsAfter(endedAt - startedAt));
    more();
  };

  const loops: Record<Weight, () => void> = {
    light: createLoop(() => round("light")),
    heavy: createLoop(() => round("heavy")),
  };
  const more = (): void => {
    if (ready("light") > 0) loops.light();
    if (ready("heavy") > 0) loops.heavy();
  };

  return {
    more,
    unlimit: () => {
      limited = false;
      more();
    },
  };
};
