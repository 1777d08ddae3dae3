/** What SQS messages look like, and the contract of all types. */
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";
import { accessKeys, region } from "../support/sigv4.ts";
import { eventOfMessage, startSqs } from "../support/sqs.ts";

testDestination(sqs, async () => {
  const server = await startSqs(["orders"]);
  const config = { queue_url: server.queueUrl("orders"), endpoint: server.receiver.url, region };
  return {
    config,
    secrets: accessKeys,
    next: async () => eventOfMessage(await server.take("orders")),
    openConnections: server.openConnections,
    forward: () => startForwarder(server.receiver.port),
    configAt: (port) => ({ ...config, endpoint: `http://127.0.0.1:${port}` }),
    badConfigs: badConfigs.sqs(config),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
