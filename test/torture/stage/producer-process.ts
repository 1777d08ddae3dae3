/** A producer: several connections that insert until they are told to stop. */
import { setTimeout as pause } from "node:timers/promises";
import { createRandom } from "../random.ts";
import type { Style } from "../stage.ts";
import { carryThrough } from "./committing.ts";
import { createKeeper } from "./connection.ts";
import { createMaker } from "./making.ts";
import { carryOut } from "./orders.ts";
import { isBulk, makeTransaction, type Workshop } from "./styles.ts";

/** What a producer process is told. */
export type ProducerOrder =
  | { readonly kind: "start"; readonly orders: ProducerOrders }
  /** Resolves when all has come to an end; what is unknown is settled if that can be done soon. */
  | { readonly kind: "stop" };

export interface ProducerOrders {
  /** Begins its marks, keys and batches, as nobody else's. */
  readonly name: string;
  readonly seed: number;
  readonly ledger: string;
  readonly databaseUrl: string;
  readonly tenants: readonly string[];
  readonly styles: readonly Style[];
  readonly eventsPerSecond: number;
  /** Ends by itself after so many were acknowledged. */
  readonly eventsMax: number;
}

/** Connections beside the one of long transactions. */
const handsMax = 6;
const settleForMs = 20_000;
/** What was not inserted in time is not made up for by more than this. */
const burstMs = 500;

const stopping = new AbortController();
const givingUp = new AbortController();
let working: Promise<unknown> = Promise.resolve();

/** Lets so many events a second pass, over all connections. */
const createPace = (eventsPerSecond: number) => {
  let next = performance.now();
  return async (count: number): Promise<void> => {
    const now = performance.now();
    next = Math.max(next, now - burstMs);
    const waitMs = next - now;
    next += (count * 1_000) / eventsPerSecond;
    if (waitMs > 0) await pause(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
  };
};

const work = async (orders: ProducerOrders): Promise<void> => {
  const { name, ledger, databaseUrl, tenants, styles, eventsPerSecond, eventsMax } = orders;
  const pace = createPace(eventsPerSecond);
  const inserted = { bulk: 0, others: 0 };

  const choose = (of: readonly Style[], { random }: Workshop): Style => {
    const wanted = of.filter((style) => isBulk(style) === inserted.bulk <= inserted.others);
    return random.pick(wanted.length > 0 ? wanted : of);
  };
  const useHand = async (hand: string, of: readonly Style[]): Promise<void> => {
    const random = createRandom(orders.seed + hand.charCodeAt(0));
    const keeper = createKeeper(databaseUrl);
    let batches = 0;
    const workshop: Workshop = {
      maker: createMaker({ name: `${name}${hand}`, tenants, random }),
      random,
      ledger,
      nameBatch: () => `${name}${hand}-batch-${++batches}`,
      stopping: stopping.signal,
    };
    while (!stopping.signal.aborted && inserted.bulk + inserted.others < eventsMax) {
      const style = choose(of, workshop);
      const transaction = makeTransaction(style, workshop);
      const count = transaction.batch.events.length;
      await pace(count);
      if (stopping.signal.aborted) break;
      if ((await carryThrough(transaction, ledger, keeper, givingUp.signal)) !== "ack") continue;
      inserted[isBulk(style) ? "bulk" : "others"] += count;
    }
    keeper.close();
  };
  const brief = styles.filter((style) => style !== "long");
  const hands = brief.length === 0 ? [] : Array.from({ length: handsMax }, (_, n) => useHand("abcdef"[n] ?? "", brief));
  if (styles.includes("long")) hands.push(useHand("l", ["long"]));
  await Promise.all(hands);
};

carryOut(async (order: ProducerOrder) => {
  if (order.kind === "start") working = work(order.orders);
  else {
    stopping.abort();
    const timer = setTimeout(() => givingUp.abort(), settleForMs);
    await working;
    clearTimeout(timer);
  }
});
