/**
 * The ledger of a producer, and the one way to commit: `intent` is on disk before COMMIT is sent. A batch whose COMMIT has no
 * answer is `unknown`; it is inserted again under its dedupe keys, before anything newer, until one COMMIT is answered. That
 * one means that all of the batch is committed once: what it skipped was committed by an earlier try, and what an earlier try
 * still holds open it has waited for.
 */
import { setTimeout as pause } from "node:timers/promises";
import { codeOf } from "../../../src/errors.ts";
import type { ProducerEntry } from "../stage.ts";
import type { Connection, Keeper } from "./connection.ts";
import { appendEntry } from "./ledger.ts";
import type { MadeEvent } from "./making.ts";

export type Heard = "ack" | "reject" | "unknown";

/** Events that are committed together, or not at all. */
export interface Batch {
  readonly name: string;
  readonly events: readonly MadeEvent[];
}

/** A batch and its statements. */
export interface Transaction {
  readonly batch: Batch;
  /** Statements that are sent together with BEGIN, the first time. */
  readonly opening?: string;
  /** What else is to be done before COMMIT, the first time. */
  readonly insert: (connection: Connection) => Promise<void>;
  /** When it is not known what became of that. */
  readonly insertAgain: (connection: Connection) => Promise<void>;
  /** Ends with ROLLBACK. */
  readonly isRolledBack?: boolean;
}

const againMs = 200;

export const writeIntent = (ledger: string, { name, events }: Batch): void => {
  const intended = events.map(({ payload: _, ...event }) => event);
  appendEntry(ledger, { kind: "intent", at: Date.now(), batch: name, events: intended } satisfies ProducerEntry);
};

export const writeHeard = (ledger: string, { name }: Batch, kind: Heard): void =>
  appendEntry(ledger, { kind, at: Date.now(), batch: name } satisfies ProducerEntry);

/** Errors that roll back for certain: conflicts (but not "outcome unknown") and constraints. */
const isRefusal = (error: unknown): boolean => /^(40(?!003)|23)/.test(codeOf(error) ?? "");

const commit = async (connection: Connection): Promise<Heard> => {
  try {
    return (await connection.query("commit")).command === "COMMIT" ? "ack" : "reject";
  } catch (error) {
    connection.close();
    return isRefusal(error) ? "reject" : "unknown";
  }
};

const rollBack = async (connection: Connection): Promise<Heard> => {
  await connection.query("rollback").catch(connection.close);
  return "reject";
};

/** Whatever fails before COMMIT was sent is never committed. */
const transact = async (
  connection: Connection,
  { opening = "", insert }: Pick<Transaction, "opening" | "insert">,
  finish: () => Promise<Heard>,
): Promise<Heard> => {
  try {
    await connection.query(`begin; ${opening}`);
    await insert(connection);
  } catch {
    connection.close();
    return "reject";
  }
  return await finish();
};

const repeat = async ({ insertAgain }: Transaction, keeper: Keeper, signal: AbortSignal): Promise<Heard> => {
  for (;;) {
    const connection = await keeper.connection(signal);
    if (connection === undefined) return "unknown";
    if ((await transact(connection, { insert: insertAgain }, () => commit(connection))) === "ack") return "ack";
    await pause(againMs, undefined, { signal }).catch(() => {});
  }
};

/**
 * Commits a batch, or rolls it back.
 * @param signal gives up on a batch that is unknown
 */
export const carryThrough = async (
  transaction: Transaction,
  ledger: string,
  keeper: Keeper,
  signal: AbortSignal,
): Promise<Heard> => {
  const connection = await keeper.connection(signal);
  if (connection === undefined) return "reject";
  const { batch, isRolledBack = false } = transaction;
  let isIntended = false;
  const heard = await transact(connection, transaction, () => {
    writeIntent(ledger, batch);
    isIntended = true;
    return isRolledBack ? rollBack(connection) : commit(connection);
  });
  if (!isIntended) writeIntent(ledger, batch);
  writeHeard(ledger, batch, heard);
  if (heard !== "unknown") return heard;
  const settled = await repeat(transaction, keeper, signal);
  if (settled === "ack") writeHeard(ledger, batch, settled);
  return settled;
};
