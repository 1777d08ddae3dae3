/**
 * The shop of the demo: an ordinary producer, which knows nothing of Postrider but the table outbox.events. Its orders
 * and their events are written in the same transactions, with plain `pg`.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { ClientBase } from "pg";

/** An order, and whether its transaction was committed. */
export interface Order {
  readonly number: string;
  readonly total: string;
  readonly paid: boolean;
  /** The event's payload, as it was inserted. */
  readonly payload: string;
}

/** Fast enough to be quick, slow enough to be seen. */
const pauseMs = 90;
const totals = ["120.10", "19.90", "249.00", "7.50", "64.00", "1099.99", "100.00"];

const orderOf = (n: number): Order => {
  const number = `A-${1000 + n}`;
  const total = totals[n % totals.length] ?? "1.00";
  const payload = `{"order": "${number}", "total": ${total}, "note": "Grüße, 世界", "ledger": 12345678901234567890}`;
  return { number, total, paid: n % 4 !== 0, payload };
};

/** Makes the shop's own table. */
export const openShop = async (client: ClientBase): Promise<void> => {
  await client.query("create schema shop");
  await client.query("create table shop.orders (number text primary key, total numeric not null)");
};

/** One order in one transaction. A declined card rolls it back: the order and its event. */
const take = async (client: ClientBase, { number, total, payload, paid }: Order): Promise<void> => {
  await client.query("begin");
  await client.query("insert into shop.orders (number, total) values ($1, $2)", [number, total]);
  await client.query("insert into outbox.events (topic, key, payload) values ('order.paid', $1, $2)", [
    number,
    payload,
  ]);
  await client.query(paid ? "commit" : "rollback");
};

/** Takes orders, one after another. */
export async function* takeOrders(client: ClientBase, count: number, signal: AbortSignal): AsyncGenerator<Order> {
  for (let n = 1; n <= count; n += 1) {
    const order = orderOf(n);
    await take(client, order);
    yield order;
    await pause(pauseMs, undefined, { signal });
  }
}
