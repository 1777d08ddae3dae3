/**
 * Brings deliveries to their destinations: claim, send, record. The three go on side by side, each with all that is there for
 * it: sending never waits for Postgres, and Postgres is asked in batches. No transaction is held while the world is spoken
 * to.
 */
import { batchSizeMax, createClaiming } from "./claiming.ts";
import type { Connections } from "./connections.ts";
import type { Database } from "./database.ts";
import type { Outcome } from "./destination.ts";
import { codeOf, messageOf } from "./errors.ts";
import type { Weight } from "./fair-queue.ts";
import { createIntake, type Work } from "./intake.ts";
import { createLanes } from "./lane.ts";
import type { Log } from "./log.ts";
import { createLoop } from "./loop.ts";
import type { Dialler } from "./outbound.ts";
import { type AttemptReport, type ClaimedDelivery, type DeliveryKey, nameOf } from "./queries/deliveries.ts";
import { logAttempt, reportOf } from "./report.ts";
import { createRoundTrips } from "./round-trips.ts";
import { createSender } from "./sender.ts";
import { cleanReason } from "./text.ts";

/** What delivering needs. */
export interface DelivererOptions {
  readonly database: Database;
  readonly connections: Connections;
  readonly dialler: Dialler;
  readonly log: Log;
  /** The id under which this process claims; it changes when the process was given up and came back. */
  readonly workerId: () => string;
  /** Deliveries that are sent at the same time. */
  readonly inFlightMax: number;
  /** Calls of `deliver` that there may be at the same time: jobs that graphile-worker runs. */
  readonly jobsMax: number;
}

/** Delivers until it is stopped. */
export interface Deliverer {
  /**
   * Delivers what of these is to be delivered now; returns when all of it is recorded, or sooner, where slow destinations
   * would leave no jobs to the others: then what is under way goes on, and what waits is postponed. Each is independent of
   * the others.
   * @throws only for a database that refuses a query, or a bug
   */
  readonly deliver: (keys: readonly DeliveryKey[]) => Promise<void>;
  /** Starts nothing more: what has not been sent is given back. */
  readonly stop: () => void;
  /** Breaks off what is in flight; it is recorded as unknown and tried again by another worker. */
  readonly abort: () => void;
  /** Resolves when everything that `deliver` was called for is through. */
  readonly ended: () => Promise<void>;
}

/** Work that was claimed, when, and the id under which it was. */
interface Claimed {
  readonly work: Work;
  readonly delivery: ClaimedDelivery;
  readonly claimedAt: number;
  readonly claimedBy: string;
}

/** An attempt that ended. */
interface Ended extends Claimed {
  readonly report: AttemptReport;
}

/** Attempts may wait to be recorded, up to so many times the number of those in flight: then nothing more is claimed. */
const unrecordedFactor = 4;
/** An answer waits at most so long for others to be recorded with. */
const gatherMs = 20;

const failureOf = (error: unknown): Error =>
  Object.assign(new Error(cleanReason(messageOf(error))), { code: codeOf(error) });

/** Creates the deliverer of one worker process. */
export const createDeliverer = (options: DelivererOptions): Deliverer => {
  const { log, inFlightMax } = options;
  const roundTrips = createRoundTrips({ ...options, hasToGo: () => aborted });
  const unrecorded: Ended[] = [];
  const unsent: Claimed[] = [];
  /** What is being given back that may have been claimed for jobs, by name. */
  const returning = new Set<string>();
  let sending = 0;
  let recording = 0;
  let gathering: NodeJS.Timeout | undefined;
  let stopping = false;
  let aborted = false;

  const intake = createIntake({
    log,
    jobsMax: options.jobsMax,
    onMore: () => claiming.more(),
    postpone: roundTrips.postpone,
  });

  const freed = (works: Iterable<Work>): void => {
    for (const work of works) {
      sending -= 1;
      intake.freed(work, inFlightMax - sending);
    }
  };

  /**
   * Gives back what may have been claimed for jobs. What a lane has taken along meanwhile is being sent and stays; what it would
   * take along until this is done is not its own.
   */
  const giveBackLoaded = async (workerId: string, keys: readonly DeliveryKey[]): Promise<void> => {
    const given = keys.filter((key) => !intake.isAdopted(key));
    const names = given.map(nameOf);
    for (const name of names) returning.add(name);
    try {
      await roundTrips.giveBack(workerId, given);
    } finally {
      for (const name of names) returning.delete(name);
    }
  };

  const claim = async (weight: Weight, countMax: number): Promise<number> => {
    const taken = intake.take(weight, countMax, inFlightMax - sending);
    if (taken.length === 0) return 0;
    const keys = taken.map(({ key }) => key);
    const claimedAt = performance.now();
    const claimedBy = options.workerId();
    sending += taken.length;
    try {
      let claimed = stopping ? [] : await roundTrips.load(claimedBy, keys);
      // The stop may have come while they were claimed.
      if (claimed === undefined || stopping) {
        await giveBackLoaded(claimedBy, keys);
        claimed = [];
      }
      send(taken, claimed, { claimedAt, claimedBy });
    } catch (error) {
      freed(taken);
      for (const work of taken) intake.through(work, failureOf(error));
    }
    return taken.length;
  };
  const claiming = createClaiming({
    inFlightMax,
    free: () => (unrecorded.length + recording > unrecordedFactor * inFlightMax ? 0 : inFlightMax - sending),
    ready: intake.ready,
    claim,
  });

  const giveBack = (claimed: readonly Claimed[]): void => {
    unsent.push(...claimed);
    giveBackMore();
  };
  const ended = (claimed: Claimed, outcome: Outcome, durationMs: number): void => {
    unrecorded.push({ ...claimed, report: reportOf(claimed.delivery, outcome, durationMs, aborted) });
    gather();
    claiming.more();
  };

  /** What follows in a lane takes over the place of the one before. */
  const lanes = createLanes<Claimed>({
    log,
    claim: roundTrips.follow,
    mayGoOn: (claimedBy) => !stopping && claimedBy === options.workerId(),
    adopt: (deliveries, claimedBy) => {
      const works = intake.adopt(deliveries);
      const claimedAt = performance.now();
      const claimed = deliveries.map((delivery, n) => ({ work: works[n] as Work, delivery, claimedAt, claimedBy }));
      const ownEnd = works.findIndex(({ name }) => returning.has(name));
      if (ownEnd === -1) return claimed;
      giveBack(claimed.slice(ownEnd));
      return claimed.slice(0, ownEnd);
    },
    goOn: (claimed, outcome, durationMs, { next, left }) => {
      if (next === undefined) freed([claimed.work]);
      else sender.send([next]);
      if (left.length > 0) giveBack(left);
      ended(claimed, outcome, durationMs);
    },
  });

  const answered = (claimed: Claimed, outcome: Outcome | undefined, durationMs: number): void => {
    if (outcome !== undefined && claimed.delivery.laneSeq !== null) {
      lanes.answered(claimed, outcome, durationMs);
      return;
    }
    freed([claimed.work]);
    if (outcome === undefined) giveBack([claimed, ...lanes.takeRest(claimed)]);
    else ended(claimed, outcome, durationMs);
  };
  const sender = createSender({ ...options, answered });

  /** Sends what was claimed of what was taken; the rest is through. */
  const send = (
    taken: readonly Work[],
    deliveries: readonly ClaimedDelivery[],
    claim: Pick<Claimed, "claimedAt" | "claimedBy">,
  ): void => {
    const claimed = deliveries.map((delivery) => ({
      work: intake.find(delivery),
      delivery,
      ...claim,
    }));
    const left = new Set(taken);
    for (const { work } of claimed) left.delete(work);
    intake.claimed(
      claimed.map(({ work }) => work),
      left,
    );
    if (left.size > 0) {
      freed(left);
      for (const work of left) intake.through(work);
    }
    sender.send(claimed);
  };

  /** Tells the database of what was claimed, for each id that it was claimed under; then it is through. */
  const settle = async <T extends Claimed>(
    items: readonly T[],
    tell: (workerId: string, group: readonly T[]) => Promise<void>,
  ): Promise<void> => {
    for (const [workerId, group] of Map.groupBy(items, ({ claimedBy }) => claimedBy)) {
      let failure: Error | undefined;
      try {
        await tell(workerId, group);
      } catch (error) {
        failure = failureOf(error);
      }
      for (const { work } of group) intake.through(work, failure);
    }
  };

  const recordRound = async (): Promise<void> => {
    const batch = unrecorded.splice(0, batchSizeMax);
    recording = batch.length;
    await settle(batch, async (workerId, group) => {
      const reports = group.map(({ report }) => report);
      const undelivered = new Map((await roundTrips.record(workerId, reports)).map((row) => [nameOf(row), row]));
      for (const { work, delivery, report } of group) logAttempt(log, delivery, report, undelivered.get(work.name));
    });
    recording = 0;
    if (unrecorded.length > 0) gather();
    claiming.more();
  };
  const recordMore = createLoop(recordRound);

  /** Records at once when as many have ended as are under way, or a batch is full. */
  const gather = (): void => {
    if (unrecorded.length >= Math.min(sending, batchSizeMax)) recordMore();
    else if (gathering === undefined) gathering = setTimeout(gathered, gatherMs);
  };
  const gathered = (): void => {
    gathering = undefined;
    recordMore();
  };

  const giveBackMore = createLoop(() =>
    settle(unsent.splice(0), (workerId, group) => {
      const keys = group.map(({ work }) => work.key);
      return roundTrips.giveBack(workerId, keys);
    }),
  );

  return {
    deliver: intake.ask,
    stop: () => {
      stopping = true;
      intake.unlimit();
      sender.stop();
      claiming.unlimit();
    },
    abort: () => {
      aborted = true;
      sender.abort();
    },
    ended: intake.ended,
  };
};
