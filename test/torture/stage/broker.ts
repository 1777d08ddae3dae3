/** The stage's RabbitMQ: `await using broker = await openTortureBroker({ folder, isNetworkPrivate })`. */
import { randomBytes } from "node:crypto";
import { startBroker } from "../../support/rabbitmq.ts";
import type { Broker } from "../stage.ts";
import { type Child, startChild } from "./child.ts";
import type { DrainOrder } from "./drain-process.ts";
import { lastingPort } from "./ports.ts";
import type { Receiver } from "./webhook_sink.ts";

/** In the private network it is reached at an address that the guard allows. */
const publicAddress = "93.184.216.9";

export interface TortureBroker extends Broker, AsyncDisposable {
  /** Where destinations reach it. */
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  /** Declares a queue, and lets a process empty it into the ledger of a sink. */
  readonly drain: (queue: string, sinkName: string) => Promise<Receiver>;
}

export interface TortureBrokerOptions {
  readonly folder: string;
  readonly isNetworkPrivate: boolean;
}

const createDrain = (order: DrainOrder): Receiver => {
  let child: Child | undefined;
  const kill = async (): Promise<void> => {
    const dying = child;
    child = undefined;
    await dying?.kill();
  };
  const start = async (): Promise<void> => {
    if (child !== undefined) return;
    child = startChild("drain-process.ts");
    await child.tell(order);
  };
  return { kill, start, [Symbol.asyncDispose]: kill };
};

export const openTortureBroker = async ({ folder, isNetworkPrivate }: TortureBrokerOptions): Promise<TortureBroker> => {
  const publicPort = await lastingPort();
  const [username, password] = ["torture", randomBytes(24).toString("hex")];
  const login = [`default_user = ${username}`, `default_pass = ${password}`];
  const listener = isNetworkPrivate ? [`listeners.tcp.2 = ${publicAddress}:${publicPort}`] : [];
  const parts = new AsyncDisposableStack();
  const broker = parts.use(await startBroker({ settings: [...login, ...listener] }));
  const host = isNetworkPrivate ? publicAddress : "127.0.0.1";
  const port = isNetworkPrivate ? publicPort : broker.port;
  return {
    host,
    port,
    username,
    password,
    kill: broker.kill,
    start: broker.start,
    control: broker.control,
    drain: async (queue, sink) => {
      const drain = parts.use(
        createDrain({ url: `amqp://${username}:${password}@${host}:${port}`, queue, sink, folder }),
      );
      await drain.start();
      return drain;
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
