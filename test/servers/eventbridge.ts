/**
 * The contract of all types, for eventbridge, against the EventBridge of the environment. A rule brings what arrives on a
 * bus to a queue; the bus reads payloads as JSON and writes them anew.
 */
import { randomUUID } from "node:crypto";
import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DeleteRuleCommand,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from "@aws-sdk/client-eventbridge";
import { destination as eventbridge } from "../../src/destinations/eventbridge.ts";
import { eventBridgeClient, openRemoteQueue } from "../support/aws_clients.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { type Received, testDestination } from "../support/contract.ts";
import { openForwarded } from "../support/forwarded.ts";
import { startForwarder } from "../support/forwarder.ts";
import { addressOf } from "../support/servers.ts";
import { accessKeys, region } from "../support/sigv4.ts";

const { hostname, port } = addressOf("eventbridge");
const source = "postrider.test";

/** An event as a rule writes it; its detail is our CloudEvent. */
interface RuledEvent {
  readonly "detail-type": string;
  readonly detail: { readonly id: string; readonly data: unknown };
}

/** A bus with a random name, whose events are brought to a queue. */
const openBus = async () => {
  const queue = await openRemoteQueue();
  const client = eventBridgeClient();
  const name = `test-${randomUUID()}`;
  const rule = { Rule: name, EventBusName: name };
  await client.send(new CreateEventBusCommand({ Name: name }));
  await client.send(
    new PutRuleCommand({ Name: name, EventBusName: name, EventPattern: JSON.stringify({ source: [source] }) }),
  );
  await client.send(new PutTargetsCommand({ ...rule, Targets: [{ Id: "queue", Arn: queue.arn }] }));
  return {
    name,
    next: async (): Promise<Received> => {
      const { Body = "" } = await queue.take();
      const { "detail-type": topic, detail } = JSON.parse(Body) as RuledEvent;
      return { payload: JSON.stringify(detail.data), id: detail.id, topic };
    },
    [Symbol.asyncDispose]: async () => {
      await client.send(new RemoveTargetsCommand({ ...rule, Ids: ["queue"] }));
      await client.send(new DeleteRuleCommand({ Name: name, EventBusName: name }));
      await client.send(new DeleteEventBusCommand({ Name: name }));
      client.destroy();
      await queue[Symbol.asyncDispose]();
    },
  };
};

const open = async () => {
  const { name, ...bus } = await openBus();
  return openForwarded(() => startForwarder(Number(port), { host: hostname }), {
    ...bus,
    configAt: (port) => ({ event_bus_name: name, endpoint: `http://127.0.0.1:${port}`, region, source }),
    secrets: accessKeys,
    badConfigs: badConfigs.eventbridge,
  });
};

testDestination(eventbridge, open, { payload: "equal" });
