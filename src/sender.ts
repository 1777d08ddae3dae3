/** Sends claimed deliveries over the live connections of their destinations, each with a deadline, and hears the outcome. */
import { type Connection, type Connections, UnusableDestination } from "./connections.ts";
import { type Database, isTransient } from "./database.ts";
import type { BatchDestination, DeliverContext, Outcome, SingleDestination } from "./destination.ts";
import { codeOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Dialler } from "./outbound.ts";
import type { ClaimedDelivery } from "./queries/deliveries.ts";
import { listClosedDestinations } from "./queries/destinations.ts";
import { cleanReason } from "./text.ts";
import { createTurns, type Waiting } from "./turns.ts";

/** What is to be sent: a delivery, and whatever its owner wants to find with it when it is answered. */
export type Sending = Waiting;

/** What sending needs. */
export interface SenderOptions<S extends Sending> {
  readonly database: Database;
  readonly connections: Connections;
  readonly dialler: Dialler;
  readonly log: Log;
  /** Called once for each; without an outcome when nothing was sent, because the worker stops. */
  readonly answered: (sending: S, outcome: Outcome | undefined, durationMs: number) => void;
}

export interface Sender<S extends Sending> {
  /** Sends deliveries, those of one destination together if its protocol has batches. Never throws. */
  readonly send: (sendings: readonly S[]) => void;
  /** Sends nothing more of what waits for its turn. */
  readonly stop: () => void;
  /** Breaks off what is in flight, and what is sent from now on. */
  readonly abort: () => void;
}

/** A signal looks through its listeners whenever one leaves. */
const sharedDeadlineMax = 32;

const chunksOf = <T>(items: readonly T[], sizeMax: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / sizeMax) }, (_, n) => items.slice(n * sizeMax, (n + 1) * sizeMax));

/** Creates the sender of one worker process. */
export const createSender = <S extends Sending>(options: SenderOptions<S>): Sender<S> => {
  const { connections, database, dialler, log, answered } = options;
  const inFlight = new Set<AbortController>();
  let stopping = false;
  let aborted = false;

  const unexpected = (error: unknown, { eventId, destinationId }: ClaimedDelivery): Outcome => {
    if (error instanceof UnusableDestination) {
      return error.code === "config_invalid"
        ? { kind: "dead", code: error.code, reason: error.message }
        : { kind: "retry", code: error.code, reason: error.message, ours: true };
    }
    const cause = { reason: cleanReason(messageOf(error)), code: codeOf(error) };
    if (isTransient(error)) log.warn({ eventId, destinationId, ...cause }, "the database does not answer");
    else log.error({ eventId, destinationId, ...cause }, "delivering failed: a bug");
    return { kind: "retry", code: "internal", reason: "Postrider failed, see the worker's log", ours: true };
  };

  /** What is sent in the same moment shares a deadline; `work` resolves when all of it has ended. */
  const withDeadline = async (
    connection: Connection,
    work: (context: DeliverContext<unknown, unknown>) => Promise<unknown>,
  ): Promise<void> => {
    const { config, client, policy } = connection;
    const controller = new AbortController();
    const expire = (): void => controller.abort(new DOMException("deadline", "TimeoutError"));
    const timer = setTimeout(expire, policy.timeout_seconds * 1_000);
    inFlight.add(controller);
    if (aborted) controller.abort();
    const now = new Date();
    await work({
      config,
      client,
      secrets: connection.secretsAt(now),
      dialler,
      deadStatuses: policy.dead_statuses,
      signal: controller.signal,
      now,
    });
    clearTimeout(timer);
    inFlight.delete(controller);
  };

  const leave = ({ delivery }: S): void => turns.ended(delivery.destinationId);

  const sendOne = async (
    sending: S,
    type: SingleDestination<unknown, unknown>,
    context: DeliverContext<unknown, unknown>,
  ): Promise<void> => {
    const startedAt = performance.now();
    let outcome: Outcome;
    try {
      outcome = await type.deliver(sending.delivery, context);
    } catch (error) {
      outcome = unexpected(error, sending.delivery);
    }
    leave(sending);
    answered(sending, outcome, Math.round(performance.now() - startedAt));
  };

  const sendBatch = async (
    batch: readonly S[],
    type: BatchDestination<unknown, unknown>,
    context: DeliverContext<unknown, unknown>,
  ): Promise<void> => {
    const deliveries = batch.map(({ delivery }) => delivery);
    const startedAt = performance.now();
    let outcomes: readonly Outcome[];
    try {
      outcomes = await type.deliverBatch(deliveries, context);
      if (outcomes.length !== batch.length) throw new Error(`${outcomes.length} outcomes for ${batch.length} messages`);
    } catch (error) {
      outcomes = deliveries.map((delivery) => unexpected(error, delivery));
    }
    const durationMs = Math.round(performance.now() - startedAt);
    for (const [n, sending] of batch.entries()) answered(sending, outcomes[n] as Outcome, durationMs);
  };

  /** The live connection of a group's destination; where there is none, the group is answered. */
  const connectionOf = async (group: readonly S[]): Promise<Connection | undefined> => {
    const { destinationId } = (group as readonly [S])[0].delivery;
    const version = Math.max(...group.map(({ delivery }) => delivery.destinationVersion));
    try {
      return await connections.get(destinationId, version);
    } catch (error) {
      for (const sending of group) answered(sending, unexpected(error, sending.delivery), 0);
      return undefined;
    }
  };

  const sendOver = (connection: Connection, group: readonly S[]): void => {
    const { type } = connection;
    for (const chunk of chunksOf(group, type.deliverBatch === undefined ? sharedDeadlineMax : type.batchSizeMax)) {
      void withDeadline(connection, (context) =>
        type.deliverBatch === undefined
          ? Promise.all(chunk.map((sending) => sendOne(sending, type, context)))
          : sendBatch(chunk, type, context),
      );
    }
  };

  /** The connection may have been replaced while they waited. */
  const sendInTurn = async (group: readonly S[]): Promise<void> => {
    const connection = await connectionOf(group);
    if (connection === undefined) group.forEach(leave);
    else sendOver(connection, group);
  };

  const giveBack = (group: readonly S[]): void => {
    for (const sending of group) answered(sending, undefined, 0);
  };

  const turns = createTurns<S>({
    listClosed: (ids) => listClosedDestinations(database.kysely, ids),
    start: sendInTurn,
    giveBack,
  });

  const sendGroup = async (destinationId: string, group: readonly S[]): Promise<void> => {
    const connection = await connectionOf(group);
    if (connection === undefined) return;
    if (stopping) giveBack(group);
    else if (connection.type.deliverBatch === undefined) turns.add(destinationId, group);
    else sendOver(connection, group);
  };

  return {
    send: (sendings) => {
      for (const [destinationId, group] of Map.groupBy(sendings, ({ delivery }) => delivery.destinationId)) {
        void sendGroup(destinationId, group);
      }
    },
    stop: () => {
      stopping = true;
      giveBack(turns.drain());
    },
    abort: () => {
      aborted = true;
      for (const controller of inFlight) controller.abort();
    },
  };
};
