/** The contract of all types, for sqs, against the SQS of the environment. */
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { openRemoteQueue } from "../support/aws_clients.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { testDestination } from "../support/contract.ts";
import { openForwarded } from "../support/forwarded.ts";
import { startForwarder } from "../support/forwarder.ts";
import { addressOf } from "../support/servers.ts";
import { accessKeys, region } from "../support/sigv4.ts";
import { eventOfMessage } from "../support/sqs.ts";

const { hostname, port } = addressOf("sqs");

testDestination(sqs, async () => {
  const queue = await openRemoteQueue();
  return openForwarded(() => startForwarder(Number(port), { host: hostname }), {
    configAt: (port) => ({ queue_url: queue.url, endpoint: `http://127.0.0.1:${port}`, region }),
    secrets: accessKeys,
    next: async () => eventOfMessage(await queue.take()),
    badConfigs: badConfigs.sqs,
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  });
});
