/** Empties a queue of RabbitMQ: writes each message down, then acks it. Comes back whenever the broker does. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type ConsumeMessage, connect } from "amqplib";
import type { SinkEntry } from "../stage.ts";
import { arrivalOf, ledgerOf } from "./arrival.ts";
import { appendEntry, createLedgerReader } from "./ledger.ts";
import { carryOut } from "./orders.ts";

export interface DrainOrder {
  readonly url: string;
  readonly queue: string;
  readonly sink: string;
  readonly folder: string;
}

const reconnectMs = 200;
const connectTimeoutMs = 3_000;
const prefetch = 200;

/**
 * What was acked comes again after the broker was killed, and what was written but not acked after a connection was lost:
 * neither was published twice. Only within one connection a second message is a second one for sure.
 */
const createNovelty = (known: readonly SinkEntry[]) => {
  const connectionOf = new Map(known.map(({ id }) => [id, 0]));
  return (id: string, connection: number): boolean => {
    const before = connectionOf.get(id);
    if (before !== undefined && before !== connection) return false;
    connectionOf.set(id, connection);
    return true;
  };
};

const drain = async ({ url, queue, sink, folder }: DrainOrder, onReady: () => void): Promise<never> => {
  const file = join(folder, ledgerOf(sink));
  const isNew = createNovelty(createLedgerReader<SinkEntry>(file).read());
  const writeDown = ({ properties, content }: ConsumeMessage, connection: number): void => {
    const id = String(properties.messageId);
    if (isNew(id, connection)) appendEntry(file, arrivalOf(sink, id, content, "none"));
  };
  const consume = async (connection: number): Promise<void> => {
    const client = await connect(url, { timeout: connectTimeoutMs });
    const closed = new Promise((resolve) => client.on("error", () => {}).once("close", resolve));
    const channel = await client.createChannel();
    channel.on("error", () => void client.close().catch(() => {}));
    await channel.prefetch(prefetch);
    await channel.assertQueue(queue, { durable: true });
    await channel.consume(queue, (message) => {
      // Without a message: the queue is gone.
      if (message === null) return void client.close().catch(() => {});
      writeDown(message, connection);
      channel.ack(message);
    });
    onReady();
    await closed;
  };
  for (let connection = 1; ; connection++) {
    await consume(connection).catch(() => {});
    await pause(reconnectMs);
  }
};

carryOut(async (order: DrainOrder) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  void drain(order, resolve);
  await promise;
});
