/**
 * What jobs have asked for, until it is through. It waits in flows that take turns, one for each subscription. Jobs are few,
 * and slow destinations must not keep them all: theirs end before their deliveries do.
 */
import { Call } from "./call.ts";
import { messageOf } from "./errors.ts";
import { FairQueue, type Surplus, tickMs, type Weight } from "./fair-queue.ts";
import type { Log } from "./log.ts";
import { createLoop } from "./loop.ts";
import { type DeliveryKey, nameOf } from "./queries/deliveries.ts";
import { cleanReason } from "./text.ts";

/** A delivery that was asked for. */
interface Request {
  readonly key: DeliveryKey;
  readonly call: Call;
}

/** What this process is at: the request, and further requests for the same delivery that look when it is through. */
export interface Work extends Request {
  readonly name: string;
  readonly behind: Request[];
}

/** What the intake needs. */
export interface IntakeOptions {
  readonly log: Log;
  /** How many calls there may be at the same time: the jobs that graphile-worker runs. */
  readonly jobsMax: number;
  /** Called when there is more to take. */
  readonly onMore: () => void;
  /** Leaves deliveries that nothing was started for to a later time. */
  readonly postpone: (keys: readonly DeliveryKey[], delaysMs: readonly number[]) => Promise<void>;
}

/** What waits, and what is under way. */
export interface Intake {
  /** Asks for deliveries. Resolves when all are through, or when this job has to make way for others. */
  readonly ask: (keys: readonly DeliveryKey[]) => Promise<void>;
  /** How many wait that have their turn as soon as there is a place. */
  readonly ready: (weight: Weight) => number;
  /** The next ones, at most so many, while so many places are free. Each holds a place until it is `freed`. */
  readonly take: (weight: Weight, countMax: number, free: number) => Work[];
  /** One that was taken and is not through. */
  readonly find: (key: DeliveryKey) => Work;
  /** Of what was taken these were claimed, the others were not. */
  readonly claimed: (claimed: readonly Work[], left: Iterable<Work>) => void;
  /** Takes in what was claimed although nobody asked for it, without a place of its own. */
  readonly adopt: (keys: readonly DeliveryKey[]) => readonly Work[];
  /** Whether it was adopted, and is not through. */
  readonly isAdopted: (key: DeliveryKey) => boolean;
  /** What was taken holds no place any more; so many are free now. */
  readonly freed: (work: Work, free: number) => void;
  /** What was taken is through, or has failed. */
  readonly through: (work: Work, error?: Error) => void;
  /** Everything that waits may be taken, whatever its share; nothing is postponed any more. */
  readonly unlimit: () => void;
  /** Resolves when everything that was asked for is through. */
  readonly ended: () => Promise<void>;
}

/** With more jobs than that, some have to make way; with more than the second, at once. */
const busyShare = 1 / 2;
const crowdedShare = 7 / 8;
/** What slow destinations have waiting may keep so many of the jobs; the rest is postponed. */
const slowShare = 1 / 4;
/** Jobs that only wait for answers, for so many ticks, are let go; at once is after one. */
const letGoTicks = 4;

/** Creates the intake of one worker process. */
export const createIntake = ({ log, jobsMax, onMore, postpone }: IntakeOptions): Intake => {
  const queue = new FairQueue<Request>();
  const underWay = new Map<string, Work>();
  const adopted = new Map<string, Work>();
  const calls = new Set<Promise<void>>();
  /** The calls that jobs still wait for, and since which tick. */
  const held = new Map<Call, number>();
  const shed: Surplus<Request>[] = [];
  let ticks = 0;
  let clock: NodeJS.Timeout | undefined;
  let limited = true;

  const postponeMore = createLoop(async () => {
    const requests = shed.flatMap(({ items }) => items);
    const delaysMs = shed.splice(0).flatMap((surplus) => surplus.delaysMs);
    let failure: Error | undefined;
    try {
      if (requests.length > 0) {
        await postpone(
          requests.map(({ key }) => key),
          delaysMs,
        );
      }
    } catch (error) {
      failure = new Error(cleanReason(messageOf(error)));
    }
    for (const { call } of requests) call.through(failure);
  });

  const isCrowded = (): boolean => held.size > jobsMax * crowdedShare;

  const shedMore = (): void => {
    if (!limited || held.size <= jobsMax * busyShare) return;
    const surplus = queue.shed(jobsMax * slowShare, isCrowded());
    if (surplus.length === 0) return;
    shed.push(...surplus);
    postponeMore();
  };

  const letGo = (): void => {
    const age = isCrowded() ? 1 : letGoTicks;
    for (const [call, since] of held) {
      if (held.size <= jobsMax * busyShare) return;
      if (call.waiting > 0 || ticks - since < age) continue;
      held.delete(call);
      call.letGo();
    }
  };

  const tick = (): void => {
    ticks += 1;
    queue.tick();
    shedMore();
    letGo();
    if (calls.size > 0) return;
    clearInterval(clock);
    clock = undefined;
  };

  const open = (deliveries: number): Call => {
    const call = new Call(deliveries);
    const ended = call.ended
      .catch((error) => {
        if (!held.has(call)) log.error({ reason: messageOf(error) }, "delivering failed after its job had ended");
      })
      .finally(() => {
        held.delete(call);
        calls.delete(ended);
      });
    calls.add(ended);
    held.set(call, ticks);
    clock ??= setInterval(tick, tickMs);
    return call;
  };

  return {
    ask: (keys) => {
      const call = open(keys.length);
      const requests = keys.map((key) => ({ key, call }));
      for (const [flow, group] of Map.groupBy(requests, ({ key }) => key.subscriptionId)) queue.add(flow, group);
      shedMore();
      onMore();
      return call.released;
    },
    ready: (weight) => queue.ready(weight),
    take: (weight, countMax, free) => {
      const taken: Work[] = [];
      while (taken.length < countMax) {
        const request = queue.shift(free - taken.length, weight);
        if (request === undefined) break;
        request.call.waiting -= 1;
        const name = nameOf(request.key);
        const present = underWay.get(name);
        if (present === undefined) {
          const work = { ...request, name, behind: [] };
          underWay.set(name, work);
          taken.push(work);
        } else {
          present.behind.push(request);
          queue.ended(request.key.subscriptionId, free - taken.length);
        }
      }
      return taken;
    },
    find: (key) => underWay.get(nameOf(key)) as Work,
    claimed: (claimed, left) => {
      const fruitful = new Set(claimed.map(({ key }) => key.subscriptionId));
      for (const { key } of left) if (!fruitful.has(key.subscriptionId)) queue.claimed(key.subscriptionId, true);
      for (const subscriptionId of fruitful) queue.claimed(subscriptionId, false);
    },
    adopt: (keys) => {
      const call = open(keys.length);
      held.delete(call);
      call.letGo();
      return keys.map((key) => {
        const work = { key, name: nameOf(key), call, behind: [] };
        if (!underWay.has(work.name)) underWay.set(work.name, work);
        adopted.set(work.name, work);
        return work;
      });
    },
    isAdopted: (key) => adopted.has(nameOf(key)),
    freed: ({ key }, free) => queue.ended(key.subscriptionId, free),
    through: (work, error) => {
      const { name, call, behind } = work;
      if (underWay.get(name) === work) underWay.delete(name);
      if (adopted.get(name) === work) adopted.delete(name);
      call.through(error);
      for (const request of behind) {
        request.call.waiting += 1;
        queue.add(request.key.subscriptionId, [request]);
      }
      if (behind.length > 0) onMore();
    },
    unlimit: () => {
      limited = false;
      queue.unlimit();
    },
    ended: async () => {
      await Promise.all(calls);
    },
  };
};
