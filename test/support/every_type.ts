/** A server for each destination type, with what it got: for what is done with all types together. */
import { setTimeout as pause } from "node:timers/promises";
import { startEventBridge } from "./eventbridge.ts";
import { type Forwarder, startForwarder } from "./forwarder.ts";
import { openInbox } from "./inbox.ts";
import { startKafka } from "./kafka/broker.ts";
import { eventOfPagerDuty, routingKey, startPagerDuty } from "./pagerduty.ts";
import { pubsubConfig, startPubsub } from "./pubsub.ts";
import { startBroker } from "./rabbitmq.ts";
import { startReceiver } from "./receiver.ts";
import { accessKeys, region, scopeOf } from "./sigv4.ts";
import { eventOfSlack, slackPath, startSlack } from "./slack.ts";
import { eventOfMail, startSmtp } from "./smtp.ts";
import { eventOfMessage, startSqs } from "./sqs.ts";

/** An event as a server got it. */
export interface Arrival {
  readonly id: string;
  readonly topic: string;
  /** The body: for EventBridge the CloudEvent, else the payload; for people it is laid out in lines. */
  readonly body: string;
}

/** Where a destination of one type leads to. */
export interface Place extends AsyncDisposable {
  readonly type: string;
  /** What answers there. */
  readonly server: string;
  readonly config: object;
  readonly secrets: Readonly<Record<string, string>>;
  /** All that has arrived, in order; what came twice is there twice. */
  readonly arrived: () => Promise<readonly Arrival[]>;
  /** Breaks everything off, is away for a moment, and comes back with what it had. */
  readonly restart: () => Promise<void>;
}

/** How long a server is away, where its real start does not say. */
const awayMs = 500;

const away = async ({ stop, start }: Pick<Forwarder, "stop" | "start">): Promise<void> => {
  await stop();
  await pause(awayMs);
  await start();
};

const firstOf = (secrets: Readonly<Record<string, readonly string[]>>): Record<string, string> =>
  Object.fromEntries(Object.entries(secrets).map(([name, [value = ""]]) => [name, value]));

/** A server behind a forwarder, which goes away in its place. */
const behindForwarder = async (
  server: AsyncDisposable,
  port: number,
  place: (port: number) => Omit<Place, "restart" | keyof AsyncDisposable>,
): Promise<Place> => {
  const forwarder = await startForwarder(port);
  return {
    ...place(forwarder.port),
    restart: () => away(forwarder),
    [Symbol.asyncDispose]: async () => {
      await forwarder[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
};

const openHttp = async (type: "webhook" | "hookdeck"): Promise<Place> => {
  const receiver = await startReceiver();
  return behindForwarder(receiver, receiver.port, (port) => ({
    type,
    server: "HTTP receiver",
    config:
      type === "webhook"
        ? { url: `http://127.0.0.1:${port}/`, body: "cloudevents_binary" }
        : { source_url: `http://127.0.0.1:${port}/` },
    secrets: type === "webhook" ? {} : { signing_secret: "a secret of the source" },
    arrived: async () =>
      receiver.requests.map(({ headers, rawBody }) => ({
        id: String(headers["ce-id"]),
        topic: String(headers["ce-type"]),
        body: rawBody.toString(),
      })),
  }));
};

const openSqs = async (): Promise<Place> => {
  const sqs = await startSqs(["orders"]);
  const taken: Arrival[] = [];
  return behindForwarder(sqs, sqs.receiver.port, (port) => ({
    type: "sqs",
    server: "SQS emulator",
    config: { queue_url: sqs.queueUrl("orders"), endpoint: `http://127.0.0.1:${port}`, region },
    secrets: firstOf(accessKeys),
    arrived: async () => {
      while (sqs.length("orders") > 0) {
        const { payload: body, ...names } = eventOfMessage(await sqs.take("orders"));
        taken.push({ ...names, body });
      }
      return taken;
    },
  }));
};

const openEventBridge = async (): Promise<Place> => {
  const bus = await startEventBridge(scopeOf("events"));
  return behindForwarder(bus, bus.receiver.port, (port) => ({
    type: "eventbridge",
    server: "EventBridge emulator",
    config: { endpoint: `http://127.0.0.1:${port}`, region },
    secrets: firstOf(accessKeys),
    arrived: async () =>
      bus.events.items.map(({ Detail: body = "{}", DetailType: topic = "" }) => ({
        id: JSON.parse(body).id,
        topic,
        body,
      })),
  }));
};

const openPubsub = async (): Promise<Place> => {
  const server = await startPubsub();
  return behindForwarder(server, server.port, (port) => ({
    type: "pubsub",
    server: "Pub/Sub emulator",
    config: pubsubConfig(port),
    secrets: {},
    arrived: async () =>
      server.stored.items.map(({ data, attributes: { id = "", topic = "" } }) => ({ id, topic, body: String(data) })),
  }));
};

const openKafka = async (): Promise<Place> => {
  const broker = await startKafka({ topics: { orders: 3 } });
  return {
    type: "kafka",
    server: "Kafka emulator",
    config: { brokers: [broker.address], topic: "orders", tls: false },
    secrets: {},
    arrived: async () =>
      broker.records.items.map(({ value, headers }) => ({
        id: String(headers.id),
        topic: String(headers.topic),
        body: String(value),
      })),
    restart: () => away(broker),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
};

const openRabbitmq = async (): Promise<Place> => {
  const broker = await startBroker();
  const declaring = await broker.client();
  await (await declaring.createChannel()).assertQueue("orders", { durable: true });
  await declaring.close();
  const taken: Arrival[] = [];
  return {
    type: "rabbitmq",
    server: "RabbitMQ",
    config: { host: "127.0.0.1", port: broker.port, tls: false, exchange: "", routing_key: "orders" },
    secrets: { username: "guest", password: "guest" },
    arrived: async () => {
      const client = await broker.client();
      const channel = await client.createChannel();
      for (let got = await channel.get("orders", { noAck: true }); got !== false; ) {
        const { content, properties } = got;
        taken.push({ id: properties.messageId, topic: properties.type, body: content.toString() });
        got = await channel.get("orders", { noAck: true });
      }
      await client.close();
      return taken;
    },
    restart: async () => {
      await broker.kill();
      await broker.start();
    },
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
};

const openPostgres = async (): Promise<Place> => {
  const inbox = await openInbox();
  return behindForwarder(inbox, inbox.config.port, (port) => ({
    type: "postgres",
    server: "Postgres",
    config: { ...inbox.config, port },
    secrets: firstOf(inbox.secrets),
    arrived: async () => (await inbox.rows()).map(({ event_id: id, topic, payload: body }) => ({ id, topic, body })),
  }));
};

/** The body of an event that its receiver shows in its own way. */
const arrivalOf = ({ payload: body, ...names }: { id: string; topic: string; payload: string }): Arrival => ({
  ...names,
  body,
});

const openSlack = async (): Promise<Place> => {
  const slack = await startSlack();
  return behindForwarder(slack, slack.receiver.port, (port) => ({
    type: "slack",
    server: "Slack emulator",
    config: { server: `http://127.0.0.1:${port}` },
    secrets: { webhook_url: slackPath },
    arrived: async () => slack.messages().map(eventOfSlack).map(arrivalOf),
  }));
};

const openPagerDuty = async (): Promise<Place> => {
  const service = await startPagerDuty();
  return behindForwarder(service, service.receiver.port, (port) => ({
    type: "pagerduty",
    server: "PagerDuty emulator",
    config: { url: `http://127.0.0.1:${port}/v2/enqueue` },
    secrets: { routing_key: routingKey },
    arrived: async () => service.receiver.requests.map(({ rawBody }) => arrivalOf(eventOfPagerDuty(rawBody))),
  }));
};

const openEmail = async (): Promise<Place> => {
  const server = await startSmtp();
  return behindForwarder(server, server.port, (port) => ({
    type: "email",
    server: "SMTP server",
    config: { host: "127.0.0.1", port, tls: "none", from: "events@shop.example", to: ["ops@shop.example"] },
    secrets: {},
    arrived: async () => server.mails.items.map(eventOfMail).map(arrivalOf),
  }));
};

/**
 * Starts a server for each type, all at once. For `rabbitmq`, RabbitMQ must be installed.
 * @param without types that are left out
 */
export const openEveryPlace = (without: readonly string[] = []): Promise<readonly Place[]> => {
  const places = {
    webhook: () => openHttp("webhook"),
    hookdeck: () => openHttp("hookdeck"),
    sqs: openSqs,
    eventbridge: openEventBridge,
    rabbitmq: openRabbitmq,
    kafka: openKafka,
    pubsub: openPubsub,
    postgres: openPostgres,
    slack: openSlack,
    pagerduty: openPagerDuty,
    email: openEmail,
  };
  return Promise.all(Object.entries(places).flatMap(([type, open]) => (without.includes(type) ? [] : [open()])));
};
