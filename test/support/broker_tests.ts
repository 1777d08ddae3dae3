/** What the test files of the rabbitmq type share: one broker for a file, and a fresh exchange and queue for a test. */
import { randomUUID } from "node:crypto";
import { after, before, type TestOptions } from "node:test";
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from "amqplib";
import { Arrivals } from "./arrivals.ts";
import { badConfigs } from "./bad_configs.ts";
import type { Opened, Received } from "./contract.ts";
import { openForwarded } from "./forwarded.ts";
import { startForwarder } from "./forwarder.ts";
import { type Broker, type BrokerOptions, brokerMissing, startBroker } from "./rabbitmq.ts";

/** Without a broker these tests are skipped, but not where everything has to be tested. */
export const needsBroker: TestOptions =
  brokerMissing === undefined || process.env.CI === "true" ? {} : { skip: brokerMissing };

/** A queue of a test, bound to an exchange of its own for every routing key. */
export interface TestQueue extends AsyncDisposable {
  readonly exchange: string;
  readonly queue: string;
  readonly channel: ConfirmChannel;
  /** Everything that arrives in the queue, once `consume` was called. */
  readonly messages: Arrivals<ConsumeMessage>;
  readonly consume: () => Promise<void>;
}

/** Starts the file's broker before its tests and ends it after them; the function gives it. */
export const useBroker = (options: BrokerOptions = {}): (() => Broker) => {
  let broker: Broker | undefined;
  before(async () => {
    if (needsBroker.skip === undefined) broker = await startBroker(options);
  });
  after(() => broker?.[Symbol.asyncDispose]());
  return () => {
    if (broker === undefined) throw new Error(brokerMissing);
    return broker;
  };
};

/** The event in a message that carries the payload as it was inserted. */
const eventOfMessage = ({ content, properties }: ConsumeMessage): Received => ({
  payload: content.toString(),
  id: properties.messageId,
  topic: properties.type,
});

/**
 * Declares an exchange and a queue with random names. Not a topic exchange: RabbitMQ 3.10 that is killed soon after can
 * come back with the binding in its list and nothing routed by it.
 */
export const openQueue = async (broker: Pick<Broker, "client">, args: Options.AssertQueue = {}): Promise<TestQueue> => {
  const client: ChannelModel = await broker.client();
  client.on("error", () => {});
  const channel = await client.createConfirmChannel();
  const name = `test ${randomUUID()}`;
  await channel.assertExchange(name, "fanout");
  await channel.assertQueue(name, args);
  await channel.bindQueue(name, name, "");
  const messages = new Arrivals<ConsumeMessage>();
  const add = (message: ConsumeMessage | null) => message !== null && messages.add(message);
  return {
    exchange: name,
    queue: name,
    channel,
    messages,
    consume: async () => void (await channel.consume(name, add, { noAck: true })),
    [Symbol.asyncDispose]: async () => {
      messages.close();
      await channel.deleteExchange(name).catch(() => {});
      await client.close().catch(() => {});
    },
  };
};

/** An exchange of the broker at an address, as the contract wants it; it is gone with its connection. */
export const openRabbitmq = async (broker: Pick<Broker, "client">, address: URL): Promise<Opened> => {
  const { hostname, port, username, password, pathname } = address;
  const queue = await openQueue(broker, { exclusive: true });
  await queue.consume();
  const vhost = decodeURIComponent(pathname.slice(1)) || "/";
  return openForwarded(() => startForwarder(Number(port || 5672), { host: hostname }), {
    configAt: (port) => ({ host: "127.0.0.1", port, tls: false, vhost, exchange: queue.exchange }),
    secrets: { username: [decodeURIComponent(username)], password: [decodeURIComponent(password)] },
    next: async () => eventOfMessage(await queue.messages.next()),
    badConfigs: badConfigs.rabbitmq,
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  });
};
