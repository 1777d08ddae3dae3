/**
 * Brings deliveries to their destinations: claim, send, record. The three go on side by side, each with all that is there for
 * it: sending never waits for Postgres, and Postgres is asked in batches. No transaction is held while the world is spoken
 * to.
 */
import { Call } from "./call.ts";
import type { Connections } from "./connections.ts";
import type { Database } from "./database.ts";
import type { Outcome } from "./destination.ts";
import { codeOf, messageOf } from "./errors.ts";
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

/** Work that was claimed, and the id under which it was. */
interface Claimed {
  readonly work: Work;
  readonly delivery: ClaimedDelivery;
  readonly claimedBy: string;
}

/** An attempt that ended. */
interface Ended extends Claimed {
  readonly report: AttemptReport;
}

/** How many deliveries go into one statement. */
const batchSizeMax = 500;
/** Attempts may wait to be recorded, up to so many times the number of those in flight: then nothing more is claimed. */
const unrecordedFactor = 4;
/** Claims are made for half of the places at a time: a row costs more in a small batch. */
const claimShare = 1 / 2;
/** An answer waits at most so long for others to be recorded with. */
const gatherMs = 20;

const failureOf = (error: unknown): Error =>
  Object.assign(new Error(cleanReason(messageOf(error))), { code: codeOf(error) });

/** Creates the deliverer of one worker process. */
export const createDeliverer = (options: DelivererOptions): Deliverer => {
  const { log, inFlightMax } = options;
  const claimSize = Math.min(Math.ceil(inFlightMax * claimShare), batchSizeMax);
  const roundTrips = createRoundTrips({ ...options, hasToGo: () => aborted });
  const waiting: Request[] = [];
  const underWay = new Map<string, Work>();
  const unrecorded: Ended[] = [];
  const unsent: Claimed[] = [];
  const calls = new Set<Promise<void>>();
  let sending = 0;
  let recording = 0;
  let gathering: NodeJS.Timeout | undefined;
  let stopping = false;
  let aborted = false;

  const through = (work: Work, error?: Error): void => {
    const { name, call, behind } = work;
    if (underWay.get(name) === work) underWay.delete(name);
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
    if (unrecorded.length + recording > unrecordedFactor * inFlightMax) return 0;
    const room = inFlightMax - sending;
    return room < Math.min(waiting.length, claimSize) ? 0 : Math.min(room, batchSizeMax);
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

  const track = (call: Call): Promise<void> => {
    const ended = call.ended.finally(() => calls.delete(ended));
    calls.add(ended);
    return ended;
  };

  const giveBack = (claimed: readonly Claimed[]): void => {
    unsent.push(...claimed);
    giveBackMore();
  };
  const ended = ({ work, delivery, claimedBy }: Claimed, outcome: Outcome, durationMs: number): void => {
    unrecorded.push({ work, delivery, claimedBy, report: reportOf(delivery, outcome, durationMs, aborted) });
    gather();
    if (waiting.length > 0) claimMore();
  };

  const lanes = createLanes<Claimed>({
    log,
    claim: roundTrips.follow,
    mayGoOn: (claimedBy) => !stopping && claimedBy === options.workerId(),
    adopt: (deliveries, claimedBy) => {
      const call = new Call(deliveries.length);
      track(call).catch((error) => log.error({ reason: failureOf(error).message }, "a lane was not recorded"));
      return deliveries.map((delivery) => {
        const work: Work = { key: delivery, name: nameOf(delivery), call, behind: [] };
        if (!underWay.has(work.name)) underWay.set(work.name, work);
        return { work, delivery, claimedBy };
      });
    },
    goOn: (claimed, outcome, durationMs, { next, left }) => {
      if (next === undefined) sending -= 1;
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
    sending -= 1;
    if (outcome === undefined) giveBack([claimed, ...lanes.takeRest(claimed)]);
    else ended(claimed, outcome, durationMs);
  };
  const sender = createSender({ ...options, answered });

  /** Sends what was claimed of what was taken; the rest is through. */
  const send = (taken: readonly Work[], deliveries: readonly ClaimedDelivery[], claimedBy: string): void => {
    const claimed = deliveries.map((delivery) => ({
      work: underWay.get(nameOf(delivery)) as Work,
      delivery,
      claimedBy,
    }));
    if (claimed.length < taken.length) {
      const left = new Set(taken);
      for (const { work } of claimed) left.delete(work);
      sending -= left.size;
      for (const work of left) through(work);
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
      for (const { work } of group) through(work, failure);
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
    if (waiting.length > 0) claimMore();
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
    deliver: (keys) => {
      const call = new Call(keys.length);
      const through = track(call);
      waiting.push(...keys.map((key) => ({ key, call })));
      claimMore();
      return through;
    },
    stop: () => {
      stopping = true;
      sender.stop();
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
