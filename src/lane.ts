/**
 * Lanes: what was claimed of one key of an ordered subscription is sent one after another, each only when the one before was
 * delivered. When one was, a few of those behind it are claimed, so that a lane needs no job for each.
 */
import type { Outcome } from "./destination.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { ClaimedDelivery, FollowersWanted } from "./queries/deliveries.ts";
import { cleanReason } from "./text.ts";

/** Something claimed, and the id of the worker under which it was. */
export interface InLane {
  readonly delivery: ClaimedDelivery;
  readonly claimedBy: string;
}

/** What becomes of a lane after an answer. */
export interface Step<C extends InLane> {
  /** To be sent now. */
  readonly next: C | undefined;
  /** Not to be sent: to be given back. */
  readonly left: readonly C[];
}

/** What lanes need. */
export interface LanesOptions<C extends InLane> {
  readonly log: Log;
  /** Claims what is right behind a delivery. */
  readonly claim: (workerId: string, wanted: FollowersWanted) => Promise<readonly ClaimedDelivery[]>;
  /** Takes in what was claimed. */
  readonly adopt: (deliveries: readonly ClaimedDelivery[], claimedBy: string) => readonly C[];
  /** Whether this process may go on sending what it claimed under this id. */
  readonly mayGoOn: (claimedBy: string) => boolean;
  /** Called once for each answer; only then may it be recorded, which takes it out of its lane. */
  readonly goOn: (answered: C, outcome: Outcome, durationMs: number, step: Step<C>) => void;
}

/** The lanes that this process is at. */
export interface Lanes<C extends InLane> {
  /** One of a lane was answered. */
  readonly answered: (answered: C, outcome: Outcome, durationMs: number) => void;
  /** What was claimed behind this one and is not sent yet; from now on the caller's. */
  readonly takeRest: (claimed: C) => readonly C[];
}

/** What was claimed behind a delivery, until when it may be sent, and since when this process is at the lane. */
interface Chain<C> {
  readonly rest: readonly C[];
  readonly sendUntil: number;
  readonly since: number;
}

/** Followers are claimed for so much of the lane's time, at the pace of the last answer. */
const claimAheadMs = 100;
/** What was claimed is sent within this time, or given back: a destination that is disabled meanwhile gets no more. */
const sendWithinMs = 300;
const followersMax = 100;
/** Then others get their turn: the lane goes on with a job, which queues up with all others. */
const turnMs = 5_000;

const followersAt = (durationMs: number): number =>
  Math.min(Math.max(Math.floor(claimAheadMs / Math.max(durationMs, 1)), 1), followersMax);

/** Creates the lanes of one worker process. */
export const createLanes = <C extends InLane>(options: LanesOptions<C>): Lanes<C> => {
  const { log, claim, adopt, mayGoOn, goOn } = options;
  const chains = new WeakMap<C, Chain<C>>();

  const takeRest = (claimed: C): readonly C[] => {
    const rest = chains.get(claimed)?.rest ?? [];
    chains.delete(claimed);
    return rest;
  };

  const follow = async ({ delivery, claimedBy }: C, durationMs: number): Promise<readonly C[]> => {
    try {
      const deliveries = await claim(claimedBy, { ...delivery, count: followersAt(durationMs) });
      return adopt(deliveries, claimedBy);
    } catch (error) {
      log.error({ reason: cleanReason(messageOf(error)) }, "what follows in a lane could not be claimed");
      return [];
    }
  };

  const stepTo = ([next, ...rest]: readonly C[], chain: Omit<Chain<C>, "rest">): Step<C> => {
    if (next !== undefined) chains.set(next, { ...chain, rest });
    return { next, left: [] };
  };

  const stepAfter = async (answered: C, outcome: Outcome, durationMs: number): Promise<Step<C>> => {
    const now = performance.now();
    const { sendUntil = 0, since = now } = chains.get(answered) ?? {};
    const rest = takeRest(answered);
    const goesOn = outcome.kind === "delivered" && mayGoOn(answered.claimedBy);
    if (goesOn && rest.length > 0 && now < sendUntil) return stepTo(rest, { sendUntil, since });
    if (!goesOn || rest.length > 0 || now - since > turnMs) return { next: undefined, left: rest };
    const followers = await follow(answered, durationMs);
    // The stop may have come while they were claimed.
    if (!mayGoOn(answered.claimedBy)) return { next: undefined, left: followers };
    return stepTo(followers, { sendUntil: performance.now() + sendWithinMs, since });
  };

  return {
    answered: (answered, outcome, durationMs) => {
      void stepAfter(answered, outcome, durationMs).then((step) => goOn(answered, outcome, durationMs, step));
    },
    takeRest,
  };
};
