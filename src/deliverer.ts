/**
 * Brings deliveries to their destinations: claim, send, record. The three go on side by side, each with all that is there for
 * it: sending never waits for Postgres, and Postgres is asked in batches. No transaction is held while the world is spoken
 * to.
 */
import { Call } from "./call.ts";
import type { Connections } from "./connections.ts";
import type { Database } from "./database.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import { createLoop } from "./loop.ts";
import type { Dialler } from "./outbound.ts";
import {
  type AttemptReport,
  type ClaimedDelivery,
  type DeliveryKey,
  nameOf,
  type UndeliveredDelivery,
} from "./queries/deliveries.ts";
import { reportOf } from "./report.ts";
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
}

/** Delivers until it is stopped. */
export interface Deliverer {
  /**
   * Delivers what of these is to be delivered now; returns when all of it is recorded. Each is independent of the others.
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

/** A delivery that was asked for. */
interface Request {
  readonly key: DeliveryKey;
  readonly call: Call;
}

/** What this process is at: the request, and further requests for the same delivery that look when it is through. */
interface Work extends Request {
  readonly name: string;
  readonly behind: Request[];
}

/** An attempt that ended, with what its log line tells beside. */
interface Ended {
  readonly work: Work;
  readonly delivery: ClaimedDelivery;
  readonly claimedBy: string;
  readonly report: AttemptReport;
}

/** How many deliveries go into one statement. */
const batchSizeMax = 500;
/** Attempts may wait to be recorded, up to so many times the number of those in flight: then nothing more is claimed. */
const unrecordedFactor = 4;
/** Claims and records are made for half of the places at a time: a row costs three times as much in a small batch. */
const batchShare = 1 / 2;
/** An answer waits that long for others to be recorded with. */
const gatherMs = 20;

const failureOf = (error: unknown): Error => new Error(cleanReason(messageOf(error)));

/** Creates the deliverer of one worker process. */
export const createDeliverer = (options: DelivererOptions): Deliverer => {
  const { log, inFlightMax } = options;
  const batchSize = Math.min(Math.ceil(inFlightMax * batchShare), batchSizeMax);
  const roundTrips = createRoundTrips({ ...options, hasToGo: () => aborted });
  const sender = createSender(options);
  const waiting: Request[] = [];
  const underWay = new Map<string, Work>();
  let unrecorded: Ended[] = [];
  const calls = new Set<Promise<void>>();
  let sending = 0;
  let gathering: NodeJS.Timeout | undefined;
  let stopping = false;
  let aborted = false;

  const through = ({ name, call, behind }: Work, error?: Error): void => {
    underWay.delete(name);
    call.through(error);
    if (behind.length === 0) return;
    waiting.push(...behind);
    claimMore();
  };

  /** The next requests that there is room for; those for what is under way already are put behind it. */
  const take = (count: number): Work[] => {
    const taken: Work[] = [];
    let looked = 0;
    while (looked < waiting.length && taken.length < count) {
      const request = waiting[looked++] as Request;
      const name = nameOf(request.key);
      const present = underWay.get(name);
      if (present !== undefined) {
        present.behind.push(request);
        continue;
      }
      const work = { ...request, name, behind: [] };
      underWay.set(name, work);
      taken.push(work);
    }
    waiting.splice(0, looked);
    return taken;
  };

  const roomFor = (): number => {
    if (stopping) return batchSizeMax;
    if (unrecorded.length > unrecordedFactor * inFlightMax) return 0;
    const room = inFlightMax - sending;
    return room < Math.min(waiting.length, batchSize) ? 0 : Math.min(room, batchSizeMax);
  };

  const claimRound = async (): Promise<void> => {
    const taken = take(roomFor());
    if (taken.length === 0) return;
    const keys = taken.map(({ key }) => key);
    const claimedBy = options.workerId();
    sending += taken.length;
    try {
      let claimed = stopping ? [] : await roundTrips.load(claimedBy, keys);
      // The stop may have come while they were claimed.
      if (stopping) {
        await roundTrips.giveBack(claimedBy, keys);
        claimed = [];
      }
      send(taken, claimed, claimedBy);
    } catch (error) {
      sending -= taken.length;
      for (const work of taken) through(work, failureOf(error));
    }
    if (waiting.length > 0) claimMore();
  };
  const claimMore = createLoop(claimRound);

  /** Sends what was claimed of what was taken; the rest is through. */
  const send = (taken: readonly Work[], claimed: readonly ClaimedDelivery[], claimedBy: string): void => {
    const left = new Set(taken);
    const workOf = new Map<ClaimedDelivery, Work>();
    for (const delivery of claimed) {
      const work = underWay.get(nameOf(delivery)) as Work;
      workOf.set(delivery, work);
      left.delete(work);
    }
    sending -= left.size;
    for (const work of left) through(work);
    sender.send(claimed, (delivery, outcome, durationMs) => {
      const work = workOf.get(delivery) as Work;
      unrecorded.push({ work, delivery, claimedBy, report: reportOf(delivery, outcome, durationMs, aborted) });
      sending -= 1;
      gather();
      if (waiting.length > 0) claimMore();
    });
  };

  /** A line an attempt; of deliveries, whose record is the attempt's row, only for who asks for all. */
  const logAttempt = ({ delivery, report }: Ended, undelivered: UndeliveredDelivery | undefined): void => {
    const level = report.outcome === "delivered" ? "debug" : "info";
    if (!log.isLevelEnabled(level)) return;
    const { eventId, subscriptionId, number: attempt, outcome, code, durationMs } = report;
    const { destinationId, tenantId } = delivery;
    const { status, nextAttemptAt } = undelivered ?? {};
    const httpStatus = report.response?.status;
    log[level](
      {
        eventId,
        subscriptionId,
        destinationId,
        tenantId,
        attempt,
        outcome,
        code,
        httpStatus,
        durationMs,
        status,
        nextAttemptAt: nextAttemptAt ?? undefined,
      },
      "attempt",
    );
  };

  const recordRound = async (): Promise<void> => {
    const batch = unrecorded.slice(0, batchSizeMax);
    if (batch.length === 0) return;
    for (const [workerId, group] of Map.groupBy(batch, ({ claimedBy }) => claimedBy)) {
      try {
        const rows = await roundTrips.record(
          workerId,
          group.map(({ report }) => report),
        );
        const undelivered = new Map(rows.map((row) => [nameOf(row), row]));
        for (const ended of group) {
          logAttempt(ended, undelivered.get(ended.work.name));
          through(ended.work);
        }
      } catch (error) {
        for (const { work } of group) through(work, failureOf(error));
      }
    }
    unrecorded = unrecorded.slice(batch.length);
    if (unrecorded.length > 0) gather();
    if (waiting.length > 0) claimMore();
  };
  const recordMore = createLoop(recordRound);

  /** Records at once what is a batch, or the last of what was sent. */
  const gather = (): void => {
    if (sending === 0 || unrecorded.length >= batchSize) recordMore();
    else if (gathering === undefined) gathering = setTimeout(gathered, gatherMs);
  };
  const gathered = (): void => {
    gathering = undefined;
    recordMore();
  };

  return {
    deliver: (keys) => {
      const call = new Call(keys.length);
      const ended = call.ended.finally(() => calls.delete(ended));
      calls.add(ended);
      waiting.push(...keys.map((key) => ({ key, call })));
      claimMore();
      return ended;
    },
    stop: () => {
      stopping = true;
      claimMore();
    },
    abort: () => {
      aborted = true;
      sender.abort();
    },
    ended: async () => {
      await Promise.allSettled(calls);
    },
  };
};
