/** What every live worker does by the clock, beside delivering. Each duty is safe to run in all workers at once. */
import { setTimeout as wait } from "node:timers/promises";
import { isTransient } from "./database.ts";
import { codeOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** Something to do again and again. */
export interface Duty {
  readonly name: string;
  /** From the end of one run to the start of the next, with up to 10 % more so that workers drift apart. */
  readonly everyMs: number;
  /** Returns true when there is more to do at once. */
  readonly run: () => Promise<boolean>;
}

/**
 * Runs duties until the signal aborts. A duty that fails is logged and tried again at its next turn.
 * @returns when the runs under way have ended
 */
export const startClock = async (duties: readonly Duty[], log: Log, signal: AbortSignal): Promise<void> => {
  const tick = async ({ name, everyMs, run }: Duty): Promise<void> => {
    let more = false;
    try {
      more = await run();
    } catch (error) {
      const level = isTransient(error) ? "warn" : "error";
      log[level]({ duty: name, code: codeOf(error), reason: messageOf(error).slice(0, 500) }, "a duty failed");
    }
    if (!more) await wait(everyMs * (1 + Math.random() / 10), undefined, { signal });
  };
  const repeat = async (duty: Duty): Promise<void> => {
    while (!signal.aborted) await tick(duty);
  };
  await Promise.all(duties.map((duty) => repeat(duty).catch(() => {})));
};
