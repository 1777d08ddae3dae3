/**
 * The demo: a small shop commits orders and events in the same transactions, a worker delivers them to three real
 * receivers, and every promise is judged by what the receivers saw. It needs nothing and ends by itself.
 */
import { setTimeout as pause } from "node:timers/promises";
import { say, table } from "../command.ts";
import { countDeliveries } from "../queries/demo.ts";
import { accountingMin, cast, hire, retryAfterMs } from "./cast.ts";
import { type House, openHouse } from "./house.ts";
import { createProgress } from "./progress.ts";
import { judge } from "./promises.ts";
import type { Receiver } from "./receiver.ts";
import { showHints, showTables } from "./report.ts";
import { type Order, openShop, takeOrders } from "./shop.ts";
import { createVerifier } from "./verifier.ts";

/** How to run the demo. */
export interface DemoOptions {
  /** Keep the database when the demo ends. */
  readonly keep: boolean;
  /** Settles when a person wants it to end. */
  readonly stopped: Promise<unknown>;
}

const deadlineMs = 45_000;
const pollMs = 60;
const orderCount = 24;

const isTimeout = ({ reason }: AbortSignal): boolean =>
  reason instanceof DOMException && reason.name === "TimeoutError";

const showCast = (): void => {
  const rows = Object.entries(cast).map(([destination, member]) => ({
    destination,
    topics: member.topics.join(", "),
    filter: "filter" in member ? JSON.stringify(member.filter) : "",
    "its receiver": member.says,
  }));
  say(`\nThree destinations:\n\n${table(rows)}`);
};

const showTransaction = (): void => {
  say(`
The shop takes ${orderCount} orders, each with its event in one transaction; some cards are declined:

  begin;
  insert into shop.orders (number, total) values ('A-1001', 19.90);
  insert into outbox.events (topic, key, payload) values ('order.paid', 'A-1001', '{"order": "A-1001", ...}');
  commit;  -- or rollback
`);
};

/** Lets the shop trade, and waits until no delivery is pending; shows how far it is. */
const watch = async (
  { client }: House,
  receivers: readonly Receiver[],
  signal: AbortSignal,
): Promise<readonly Order[]> => {
  const orders: Order[] = [];
  const progress = createProgress();
  const show = async (): Promise<boolean> => {
    const { pending, retrying, delivered } = await countDeliveries(client);
    const declined = orders.filter(({ paid }) => !paid).length;
    const requests = receivers.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
    progress.show(
      `orders ${orders.length} (${declined} rolled back) | requests ${requests} | delivered ${delivered} | ` +
        `waiting ${pending}${retrying > 0 ? `, ${retrying} of them to be tried again` : ""}`,
    );
    return pending === 0;
  };
  try {
    for await (const order of takeOrders(client, orderCount, signal)) {
      orders.push(order);
      await show();
    }
    while (!(await show())) await pause(pollMs, undefined, { signal });
  } catch (error) {
    if (!isTimeout(signal)) throw error;
  }
  progress.end();
  return orders;
};

const play = async (house: House, signal: AbortSignal): Promise<boolean> => {
  const verifier = await createVerifier();
  await openShop(house.client);
  await using warehouse = await hire("warehouse", house.client, verifier);
  await using erp = await hire("erp", house.client, verifier);
  await using accounting = await hire("accounting", house.client, verifier);
  showCast();
  showTransaction();
  const orders = await watch(house, [warehouse, erp, accounting], signal);
  await showTables(house.client);
  const promises = judge({
    orders,
    warehouse: warehouse.arrivals,
    erp: erp.arrivals,
    accounting: accounting.arrivals,
    accountingMin,
    retryAfterMs,
    verifiedBy: verifier.name,
  });
  say("What was promised, and seen to hold (✓) or not (✗):\n");
  for (const { held, sentence } of promises) say(`  ${held ? "✓" : "✗"} ${sentence}`);
  return !signal.aborted && promises.every(({ held }) => held);
};

/**
 * Runs the demo.
 * @returns whether every promise was seen to hold before the deadline
 */
export const runDemo = async ({ keep, stopped }: DemoOptions): Promise<boolean> => {
  const startedAt = performance.now();
  const interrupted = new AbortController();
  void stopped.then(() => interrupted.abort());
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(deadlineMs)]);
  say("Postrider: insert an event in your transaction, Postrider delivers it.\n");
  await using house = await openHouse({ keep });
  const { host } = new URL(house.url);
  say(`  Postgres ${house.version} at ${host}, in ${house.dataDir}${keep ? "" : ", removed at the end"}`);
  say(`  Migrated with ${house.applied} changes, as postrider migrate does`);
  say("  A worker delivers, in this process");
  const held = await play(house, signal);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  if (held) say(`\nAll of it held, in ${seconds} s.`);
  else
    say(
      `\n${signal.aborted ? `Not done after ${seconds} s` : "A promise did not hold"}: please report it with this output.`,
    );
  showHints(house, keep);
  return held;
};
