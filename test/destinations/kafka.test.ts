/** What the Kafka type sends, and the contract of all types. */

import { destination as kafka } from "../../src/destinations/kafka.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { testDestination } from "../support/contract.ts";
import { startKafka } from "../support/kafka/broker.ts";
import { startKafkaForwarder } from "../support/kafka/forwarder.ts";

const secrets = { username: ["shop"], password: ["a-long-password"] };

testDestination(kafka, async () => {
  const broker = await startKafka({ topics: { orders: 3 }, sasl: { username: "shop", password: "a-long-password" } });
  const config = { brokers: [broker.address], topic: "orders", tls: false, sasl: "plain" };
  return {
    config,
    secrets,
    next: async () => {
      const { value, headers } = await broker.records.next();
      return { payload: String(value), id: String(headers.id), topic: String(headers.topic) };
    },
    openConnections: () => broker.connections,
    forward: () => startKafkaForwarder("127.0.0.1", broker.port),
    configAt: (port) => ({ ...config, brokers: [`127.0.0.1:${port}`] }),
    badConfigs: badConfigs.kafka(config),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
});
