/** What SQS messages look like, and the contract of all types. */
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { testDestination } from "../support/contract.ts";
import { accessKeys, region } from "../support/sigv4.ts";
import { startSqs } from "../support/sqs.ts";

testDestination(sqs, async () => {
  const server = await startSqs(["orders"]);
  const config = { queue_url: server.queueUrl("orders"), endpoint: server.receiver.url, region };
  return {
    config,
    secrets: accessKeys,
    next: async () => {
      const { Body = "", MessageAttributes = {} } = await server.take("orders");
      const { id, topic } = MessageAttributes;
      return { payload: Body, id: id?.StringValue ?? "", topic: topic?.StringValue ?? "" };
    },
    openConnections: server.openConnections,
    configAt: (port) => ({ ...config, endpoint: `http://127.0.0.1:${port}` }),
    badConfigs: {
      queue_url: { ...config, queue_url: "orders" },
      region: { ...config, region: "eu-west-1.example.com/" },
      endpoint: { ...config, endpoint: "http://user@example.com" },
      role_arn: { ...config, role_arn: "arn:aws:iam::1:user/a" },
      body: { ...config, body: "xml" },
      source: { ...config, source: "" },
      headers: { ...config, headers: ["a", "b", "c", "d", "e", "f"] },
      "headers.0": { ...config, headers: ["a b"] },
      queue: { ...config, queue: "orders" },
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
