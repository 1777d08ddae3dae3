/** Independent clients of the AWS emulator of the environment, and queues in it with random names. */
import { randomUUID } from "node:crypto";
import { EventBridgeClient } from "@aws-sdk/client-eventbridge";
import type { Message } from "@aws-sdk/client-sqs";
import { CreateQueueCommand, DeleteQueueCommand, GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { addressOf } from "./servers.ts";
import { accessKeys, region } from "./sigv4.ts";
import { takeMessage } from "./sqs.ts";

const [accessKeyId = ""] = accessKeys.access_key_id;
const [secretAccessKey = ""] = accessKeys.secret_access_key;

const optionsOf = (type: "sqs" | "eventbridge") => ({
  region,
  endpoint: addressOf(type).origin,
  credentials: { accessKeyId, secretAccessKey },
});

export interface RemoteQueue extends AsyncDisposable {
  readonly url: string;
  readonly arn: string;
  /** Takes the next message out of it. */
  readonly take: () => Promise<Message>;
}

/** Makes a queue, which is deleted when it is disposed of. */
export const openRemoteQueue = async (): Promise<RemoteQueue> => {
  const client = new SQSClient(optionsOf("sqs"));
  const { QueueUrl = "" } = await client.send(new CreateQueueCommand({ QueueName: `test-${randomUUID()}` }));
  const { Attributes = {} } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }),
  );
  return {
    url: QueueUrl,
    arn: Attributes.QueueArn ?? "",
    take: () => takeMessage(client, QueueUrl),
    [Symbol.asyncDispose]: async () => {
      await client.send(new DeleteQueueCommand({ QueueUrl }));
      client.destroy();
    },
  };
};

/** A client of EventBridge. */
export const eventBridgeClient = (): EventBridgeClient => new EventBridgeClient(optionsOf("eventbridge"));
