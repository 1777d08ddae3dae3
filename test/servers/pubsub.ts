/** The contract of all types, for pubsub, against the Pub/Sub emulator of the environment. */
import { randomUUID } from "node:crypto";
import { type Message, PubSub } from "@google-cloud/pubsub";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { Arrivals } from "../support/arrivals.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { type Received, testDestination } from "../support/contract.ts";
import { openForwarded } from "../support/forwarded.ts";
import { startForwarder } from "../support/forwarder.ts";
import { addressOf } from "../support/servers.ts";

// Else the client asks the metadata server of a cloud who it is.
process.env.METADATA_SERVER_DETECTION ??= "none";

const { host, hostname, port } = addressOf("pubsub");
const project_id = "acme-shop";

/** A topic with a random name, and what arrives in it, from the moment that somebody asks. */
const openTopic = async () => {
  const client = new PubSub({ projectId: project_id, apiEndpoint: host, emulatorMode: true });
  const [topic] = await client.createTopic(`test-${randomUUID()}`);
  const [subscription] = await topic.createSubscription(`test-${randomUUID()}`);
  const events = new Arrivals<Received>();
  const add = (message: Message): void => {
    const { id = "", topic = "" } = message.attributes;
    events.add({ payload: message.data.toString(), id, topic });
    message.ack();
  };
  return {
    topic: topic.name.replace(/^.*\//, ""),
    next: () => {
      if (!subscription.isOpen) subscription.on("message", add);
      return events.next();
    },
    [Symbol.asyncDispose]: async () => {
      events.close();
      if (subscription.isOpen) await subscription.close();
      await subscription.delete();
      await topic.delete();
      await client.close();
    },
  };
};

testDestination(pubsub, async () => {
  const { topic, ...opened } = await openTopic();
  return openForwarded(() => startForwarder(Number(port), { host: hostname }), {
    ...opened,
    configAt: (port) => ({ project_id, topic, endpoint: `http://127.0.0.1:${port}` }),
    secrets: {},
    badConfigs: badConfigs.pubsub,
  });
});
