/**
 * The round trips to Postgres for all that is in flight together: claim and load, give back, record. They are repeated while
 * the database does not answer.
 */
import { setTimeout as wait } from "node:timers/promises";
import { batched } from "./batch.ts";
import { type Database, isTransient } from "./database.ts";
import { codeOf } from "./errors.ts";
import type { Log } from "./log.ts";
import {
  type AttemptReport,
  type ClaimedDelivery,
  claimFollowers,
  type DeliveryKey,
  type FollowersWanted,
  loadDeliveries,
  postponeDeliveries,
  recordAttempts,
  type UndeliveredDelivery,
  unclaimDeliveries,
  unclaimFollowers,
} from "./queries/deliveries.ts";

/** What the round trips need. */
export interface RoundTripOptions {
  readonly database: Database;
  readonly log: Log;
  /** The worker may wait no longer for a database that does not answer. */
  readonly hasToGo: () => boolean;
}

/** The round trips of one worker process; `workerId` is the id that it claims, or has claimed, under. */
export interface RoundTrips {
  /**
   * Claims deliveries and reads them. Those that are not to run now are left out.
   * @returns undefined when the answer was lost: some may be claimed, and are to be given back
   */
  readonly load: (workerId: string, keys: readonly DeliveryKey[]) => Promise<readonly ClaimedDelivery[] | undefined>;
  /** Claims what is right behind deliveries of lanes; of several calls under one id, those of the same moment go together. */
  readonly follow: (workerId: string, wanted: FollowersWanted) => Promise<readonly ClaimedDelivery[]>;
  /** Gives back deliveries that nothing was sent for. */
  readonly giveBack: (workerId: string, keys: readonly DeliveryKey[]) => Promise<void>;
  /** Leaves deliveries that nobody has claimed to a later time, each to its own. */
  readonly postpone: (keys: readonly DeliveryKey[], delaysMs: readonly number[]) => Promise<void>;
  /** Records attempts; returns the deliveries that are not delivered. */
  readonly record: (workerId: string, reports: readonly AttemptReport[]) => Promise<readonly UndeliveredDelivery[]>;
}

interface Following {
  readonly workerId: string;
  readonly wanted: FollowersWanted;
}

const laneOf = ({ subscriptionId, key }: Pick<ClaimedDelivery, "subscriptionId" | "key">): string =>
  `${subscriptionId}/${key}`;

/** What of a report may go wrong in SQL is foreign text: without it, it can always be recorded. */
const withoutForeignText = ({ response: _response, ...report }: AttemptReport): AttemptReport => ({
  ...report,
  ...(report.error !== undefined && { error: "the answer could not be stored" }),
});

/** So that a database that is back is not kept waiting. */
const repeatDelayMsMax = 500;
/** How many lanes are asked for in one statement, and how many such statements may run at once. */
const followBatch = { sizeMax: 100, parallelMax: 2 };

/** Creates the round trips of one worker process. */
export const createRoundTrips = ({ database: { kysely }, log, hasToGo }: RoundTripOptions): RoundTrips => {
  /**
   * Repeats until the database takes it: what was sent must be recorded, and recording twice changes nothing. A worker that
   * has to go gives up: its claims are then taken over as those of a lost worker.
   */
  const persistently = async <T>(query: () => Promise<T>): Promise<T> => {
    for (let delayMs = 100; ; delayMs = Math.min(delayMs * 2, repeatDelayMsMax)) {
      try {
        return await query();
      } catch (error) {
        if (!isTransient(error) || hasToGo()) throw error;
        log.warn({ code: codeOf(error), delayMs }, "the database does not answer, trying again");
        await wait(delayMs);
      }
    }
  };

  const giveBack: RoundTrips["giveBack"] = (workerId, keys) =>
    persistently(() => unclaimDeliveries(kysely, workerId, keys));

  const load: RoundTrips["load"] = async (workerId, keys) => {
    try {
      return await loadDeliveries(kysely, workerId, keys);
    } catch (error) {
      // A statement that was refused has claimed nothing. After a lost connection the claim may have been made.
      if (!isTransient(error)) throw error;
      return undefined;
    }
  };

  const followOnce = async (workerId: string, wanted: readonly FollowersWanted[]) => {
    try {
      return await claimFollowers(kysely, workerId, wanted);
    } catch (error) {
      if (!isTransient(error)) throw error;
      await persistently(() => unclaimFollowers(kysely, workerId, wanted));
      return [];
    }
  };
  const follow = batched<Following, readonly ClaimedDelivery[]>(async (items) => {
    const claimed = new Map<Following, readonly ClaimedDelivery[]>();
    for (const [workerId, group] of Map.groupBy(items, (item) => item.workerId)) {
      const deliveries = await followOnce(
        workerId,
        group.map(({ wanted }) => wanted),
      );
      const lanes = Map.groupBy(deliveries, laneOf);
      for (const item of group) claimed.set(item, lanes.get(laneOf(item.wanted)) ?? []);
    }
    return items.map((item) => claimed.get(item) ?? []);
  }, followBatch);

  const recordOnce = (workerId: string, reports: readonly AttemptReport[]) =>
    persistently(() => recordAttempts(kysely, workerId, reports));
  const recordEach = async (workerId: string, reports: readonly AttemptReport[]) =>
    (await Promise.all(reports.map((report) => recordOnce(workerId, [withoutForeignText(report)])))).flat();

  return {
    load,
    follow: (workerId, wanted) => follow({ workerId, wanted }),
    giveBack,
    postpone: (keys, delaysMs) => persistently(() => postponeDeliveries(kysely, keys, delaysMs)),
    record: (workerId, reports) => recordOnce(workerId, reports).catch(() => recordEach(workerId, reports)),
  };
};
