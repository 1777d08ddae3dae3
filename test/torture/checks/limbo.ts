/** No delivery is forgotten: each is finished, or has a live way forward. */
import type { Admin } from "../stage.ts";
import { readStuck, type Unfinished } from "./unfinished.ts";

/**
 * Lease, sweep and reconciliation take up to 57 s together, while nothing disturbs the workers that live; what disturbs them
 * may take half as much again.
 */
const limboMsMax = 90_000;
const lookEveryMs = 9_000;
/** Nobody knows what happened between looks that are further apart. */
const countedMsMax = 15_000;

/** When all faults are over, nothing may be without a way forward. */
export const limboAtRest = (unfinished: readonly Unfinished[]): readonly string[] =>
  unfinished.flatMap(({ way, what }) => (way === "none" ? [what] : []));

const isAnyWorkerLive = async (admin: Admin): Promise<boolean> =>
  (await admin.query("select from outbox.workers as w where outbox.is_live(w.id) limit 1")).length > 0;

export interface LimboWatch {
  /** What has been without a way forward for too long. Most calls do nothing: it costs a look through all jobs. */
  readonly look: () => Promise<readonly string[]>;
}

/** Watches while faults go on. Only time in which a worker lives counts. */
export const createLimboWatch = (admin: Admin, now: () => number): LimboWatch => {
  let agesMs = new Map<string, number>();
  let lastAt = Number.NEGATIVE_INFINITY;
  return {
    look: async () => {
      const elapsedMs = now() - lastAt;
      if (elapsedMs < lookEveryMs) return [];
      lastAt = now();
      const stuck = await readStuck(admin);
      const countedMs = (await isAnyWorkerLive(admin)) ? Math.min(elapsedMs, countedMsMax) : 0;
      const ageOf = (key: string): number => {
        const before = agesMs.get(key);
        return before === undefined ? 0 : before + countedMs;
      };
      const keyOf = ({ eventId, subscriptionId }: Unfinished): string => `${eventId} ${subscriptionId}`;
      agesMs = new Map(stuck.map((each) => [keyOf(each), ageOf(keyOf(each))]));
      return stuck.flatMap((each) => ((agesMs.get(keyOf(each)) ?? 0) > limboMsMax ? [each.what] : []));
    },
  };
};
