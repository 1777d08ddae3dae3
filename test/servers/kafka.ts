/** The contract of all types, for kafka, against the broker of the environment, by the address that it advertises. */
import { randomUUID } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";
import { destination as kafka } from "../../src/destinations/kafka.ts";
import { Arrivals } from "../support/arrivals.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { type Received, testDestination } from "../support/contract.ts";
import { openForwarded } from "../support/forwarded.ts";
import { startKafkaForwarder } from "../support/kafka/forwarder.ts";
import { addressOf } from "../support/servers.ts";

const { host, hostname, port } = addressOf("kafka");

/** A topic with a random name, and what arrives in it, from the moment that somebody asks. */
const openTopic = async () => {
  const topic = `test-${randomUUID()}`;
  const client = new Kafka({ clientId: "contract", brokers: [host], logLevel: logLevel.NOTHING });
  const admin = client.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] });
  const consumer = client.consumer({ groupId: topic, maxWaitTimeInMs: 100 });
  const events = new Arrivals<Received>();
  const consume = async (): Promise<void> => {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message: { value, headers = {} } }) =>
        events.add({ payload: String(value), id: String(headers.id), topic: String(headers.topic) }),
    });
  };
  let consuming: Promise<void> | undefined;
  return {
    topic,
    next: async () => {
      consuming ??= consume();
      await consuming;
      return events.next();
    },
    [Symbol.asyncDispose]: async () => {
      events.close();
      await consumer.disconnect();
      await admin.deleteTopics({ topics: [topic] });
      await admin.disconnect();
    },
  };
};

testDestination(kafka, async () => {
  const { topic, ...opened } = await openTopic();
  return openForwarded(() => startKafkaForwarder(hostname, Number(port)), {
    ...opened,
    configAt: (port) => ({ brokers: [`127.0.0.1:${port}`], topic, tls: false }),
    secrets: {},
    badConfigs: badConfigs.kafka,
  });
});
