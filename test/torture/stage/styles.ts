/** The ways in which producers insert, each as transactions. */
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../random.ts";
import type { Style } from "../stage.ts";
import { type Batch, type Transaction, writeHeard, writeIntent } from "./committing.ts";
import { defer, type Insert, insertByCopy, insertMissingOrders, insertRows, orderStatements } from "./inserting.ts";
import type { Maker } from "./making.ts";

/** What transactions are made with. */
export interface Workshop {
  readonly maker: Maker;
  readonly random: Random;
  readonly ledger: string;
  /** A name that no other batch has. */
  readonly nameBatch: () => string;
  /** Ends long transactions early. */
  readonly stopping: AbortSignal;
}

/** Styles with many events a statement make half of all events. */
export const isBulk = (style: Style): boolean => style === "rows" || style === "copy" || style === "deferred";

const bulkMin = 2;
const bulkMax = 20;
const longMsMin = 1_000;
const longMsMax = 4_000;

const batchOf = ({ maker, nameBatch }: Workshop, count: number, isDeferred = false): Batch => ({
  name: nameBatch(),
  events: maker.make(count, isDeferred),
});

const bulk = (workshop: Workshop, insert: Insert): Transaction => {
  const batch = batchOf(workshop, workshop.random.whole(bulkMin, bulkMax));
  const insertAll: Transaction["insert"] = (connection) => insert(connection, batch.events);
  return { batch, insert: insertAll, insertAgain: insertAll };
};

const deferred = (workshop: Workshop): Transaction => {
  const batch = batchOf(workshop, workshop.random.whole(bulkMin, bulkMax), true);
  return {
    batch,
    opening: defer,
    insert: (connection) => insertRows(connection, batch.events),
    insertAgain: async (connection) => {
      await connection.query(defer);
      await insertRows(connection, batch.events);
    },
  };
};

const single = (workshop: Workshop): Transaction & { readonly opening: string } => {
  const batch = batchOf(workshop, 1);
  return {
    batch,
    opening: batch.events.map(orderStatements).join(" "),
    insert: async () => {},
    insertAgain: async (connection) => {
      await insertRows(connection, batch.events);
      await insertMissingOrders(connection, batch.events);
    },
  };
};

/** What is rolled back to the savepoint is a batch of its own, and rejected whatever becomes of the rest. */
const withSavepoint = (workshop: Workshop): Transaction => {
  const { random, ledger } = workshop;
  const kept = single(workshop);
  const dropped = batchOf(workshop, random.whole(1, 2));
  return {
    ...kept,
    opening: `${kept.opening} savepoint before`,
    insert: async (connection) => {
      await insertRows(connection, dropped.events);
      writeIntent(ledger, dropped);
      writeHeard(ledger, dropped, "reject");
      await connection.query("rollback to savepoint before");
    },
  };
};

const long = (workshop: Workshop): Transaction => {
  const { random, stopping } = workshop;
  const brief = single(workshop);
  const ms = random.whole(longMsMin, longMsMax);
  return {
    ...brief,
    insert: async () => {
      await pause(ms, undefined, { signal: stopping }).catch(() => {});
    },
  };
};

const makers: Readonly<Record<Style, (workshop: Workshop) => Transaction>> = {
  single,
  rows: (workshop) => bulk(workshop, insertRows),
  copy: (workshop) => bulk(workshop, insertByCopy),
  deferred,
  savepoint: withSavepoint,
  rollback: (workshop) => ({ ...single(workshop), isRolledBack: true }),
  long,
};

/** Makes up the next transaction of a style. */
export const makeTransaction = (style: Style, workshop: Workshop): Transaction => makers[style](workshop);
