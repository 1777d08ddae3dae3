/** Inserts single events for who wants to see one go its way, in a ledger of its own. */
import type { Producers } from "../stage.ts";
import { carryThrough, type Transaction } from "./committing.ts";
import { createKeeper } from "./connection.ts";
import { insertRows } from "./inserting.ts";
import { dress } from "./making.ts";

export interface InserterOptions {
  /** Begins its marks, as nobody else's. */
  readonly name: string;
  readonly ledger: string;
  readonly databaseUrl: string;
}

export interface Inserter extends AsyncDisposable {
  readonly insert: Producers["insert"];
}

const patienceMs = 20_000;
const defaultAmount = 1_000;

export const createInserter = ({ name, ledger, databaseUrl }: InserterOptions): Inserter => {
  const counts = new Map<string, number>();
  /** The last insert of each key: the next one waits for it. */
  const lastOf = new Map<string, Promise<unknown>>();
  const closing = new AbortController();
  let marks = 0;

  const carry = async (transaction: Transaction): Promise<void> => {
    const keeper = createKeeper(databaseUrl);
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(patienceMs)]);
    const heard = await carryThrough(transaction, ledger, keeper, signal).finally(keeper.close);
    if (heard !== "ack") throw new Error(`The event ${transaction.batch.name} was not committed: ${heard}.`);
  };
  const insert: Inserter["insert"] = async ({ tenant, topic, key, amount = defaultAmount }) => {
    const mark = `${name}-${++marks}`;
    const n = key === undefined ? 0 : (counts.get(key) ?? 0) + 1;
    if (key !== undefined) counts.set(key, n);
    const event = dress({ mark, tenant, topic, ...(key === undefined ? {} : { key }), n, amount }, '"single"');
    const insertEvent: Transaction["insert"] = (connection) => insertRows(connection, [event]);
    const transaction = { batch: { name: mark, events: [event] }, insert: insertEvent, insertAgain: insertEvent };
    const before = (key === undefined ? undefined : lastOf.get(key)) ?? Promise.resolve();
    const inserted = before.then(() => carry(transaction));
    if (key !== undefined)
      lastOf.set(
        key,
        inserted.catch(() => {}),
      );
    await inserted;
    return mark;
  };
  return {
    insert,
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await Promise.all(lastOf.values());
    },
  };
};
