/** What the stories of drills share. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ledgerOf } from "../stage/arrival.ts";
import { createLedgerReader } from "../stage/ledger.ts";
import type { Admin, SinkEntry, Stage } from "../stage.ts";

/** What a story waited for did not come: on the healthy engine a defect of the drill, on a mutant what it may look like. */
export class Stuck extends Error {}

const lookEveryMs = 20;
const patienceSeconds = 15;

const wait = async (what: string, seconds: number, holds: () => Promise<boolean> | boolean): Promise<void> => {
  for (const startedAt = performance.now(); !(await holds()); await pause(lookEveryMs)) {
    if (performance.now() - startedAt > seconds * 1_000) throw new Stuck(`not within ${seconds} s: ${what}`);
  }
};

/** Waits until an SQL condition holds. */
export const until = (
  { query }: Admin,
  condition: string,
  parameters: readonly unknown[] = [],
  seconds = patienceSeconds,
): Promise<void> =>
  wait(condition, seconds, async () => {
    const [row] = await query<{ holds: boolean }>(`select (${condition}) as holds`, parameters);
    return row?.holds === true;
  });

/** Waits until a sink has written down so many arrivals. Reads its ledger beside the checker, who reads each line once. */
export const untilArrived = ({ folder }: Stage, sink: string, count: number): Promise<void> => {
  const ledger = createLedgerReader<SinkEntry>(join(folder, ledgerOf(sink)));
  let arrived = 0;
  return wait(`${count} arrivals at ${sink}`, patienceSeconds, () => {
    arrived += ledger.read().length;
    return arrived >= count;
  });
};

/** Waits until producers have heard of so many commits. */
export const untilAcknowledged = ({ producers }: Stage, count: number): Promise<void> =>
  wait(`${count} acknowledged`, patienceSeconds, () => producers.acknowledged() >= count);

/** Inserts events of one topic, each in a transaction of its own, one after another. */
export const insertEvents = async (
  { producers }: Stage,
  count: number,
  given: { readonly tenant: string; readonly key?: string },
): Promise<void> => {
  for (let n = 0; n < count; n++) await producers.insert({ topic: "order.paid", amount: 900, ...given });
};

/** Each delivery has been tried at least once. */
export const allWereTried = `
  exists (select from outbox.deliveries) and not exists (
    select from outbox.deliveries as d
    where not exists (
      select from outbox.attempts as a where a.event_id = d.event_id and a.subscription_id = d.subscription_id))`;

const nothingIsLeft = `
  not exists (select from outbox.deliveries where status in ('pending', 'held'))
  and not exists (select from outbox.deferred_events)
  and not exists (select from graphile_worker._private_jobs where run_at <= now())`;

/** Waits until nothing is left to do, or the time is over: then the checks say what is missing. */
export const rest = async ({ admin }: Stage, seconds: number): Promise<void> => {
  await until(admin, nothingIsLeft, [], seconds).catch((error: unknown) => {
    if (!(error instanceof Stuck)) throw error;
  });
};
