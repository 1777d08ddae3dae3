/**
 * Runs in a worker whose files are instrumented: counts the fail points that it reaches, and ends the process at the chosen
 * one as `kill -9` does. It counts from when the worker has joined, or from when its parent says so.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { appendFileSync } from "node:fs";

/** Where to crash, and where to write down what is reached. */
export interface CrashOrder {
  /** Like `sender.js:47:18 before`. Default: whichever comes. */
  readonly point?: string;
  /** The nth time that the point, or any point, is reached; counted from 1. Default: never. */
  readonly hit?: number;
  /** Gets a line for each point that is reached. */
  readonly pointsFile?: string;
}

/** What an instrumented worker tells its parent. */
export type CrashNews = "joined" | "taken the order";

const clock = new AsyncLocalStorage<true>();
let order: CrashOrder | undefined;
let hits = 0;

const crash = (): never => {
  process.kill(process.pid, "SIGKILL");
  for (;;);
};

const reach = (point: string): void => {
  if (order === undefined || clock.getStore() === true) return;
  if (order.pointsFile !== undefined) appendFileSync(order.pointsFile, `${point}\n`);
  if (order.point !== undefined && order.point !== point) return;
  hits += 1;
  if (hits === order.hit) crash();
};

export const before = (point: string): void => reach(`${point} before`);

export const after = <T>(point: string, value: T): T => {
  reach(`${point} after`);
  return value;
};

/** Of a loop over what comes one by one: before and after each. */
export const each = async function* <T>(point: string, items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  before(point);
  for await (const item of items) {
    yield after(point, item);
    before(point);
  }
  after(point, undefined);
};

/** What is started in here is no delivery: none of its points counts. */
export const byTheClock = <T>(start: () => T): T => clock.run(true, start);

const tell = (news: CrashNews): void => {
  process.send?.(news);
};

/** As `tampering.ts` names them, which is not imported: a worker has better things to load. */
const orderOfEnvironment = (): CrashOrder => {
  const { TORTURE_CRASH_AT: hit, TORTURE_POINTS_FILE: pointsFile } = process.env;
  return { ...(hit !== undefined && { hit: Number(hit) }), ...(pointsFile !== undefined && { pointsFile }) };
};

/** The worker has joined. */
export const join = (): void => {
  if (process.channel === undefined) order ??= orderOfEnvironment();
  tell("joined");
};

if (process.channel !== undefined) {
  process.on("message", (given) => {
    order = given as CrashOrder;
    hits = 0;
    tell("taken the order");
  });
  process.on("disconnect", crash);
  process.channel.unref();
}
