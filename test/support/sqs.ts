/** SQS on the loopback address: an emulator, and before it a door that checks signatures, counts and can misbehave. */
import type { Socket } from "node:net";
import {
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SQSClient,
  type Message as SqsMessage,
} from "@aws-sdk/client-sqs";
import { startFauxqs } from "fauxqs";
import type { Received } from "./contract.ts";
import { type ReceivedRequest, type Receiver, type Reply, startReceiver } from "./receiver.ts";
import { region, type SigningScope, scopeOf, signatureProblem } from "./sigv4.ts";

/** What a request is answered with instead of the emulator's answer; undefined lets it pass. */
export type Intercept = (request: ReceivedRequest) => Reply | Promise<Reply>;

export interface Sqs extends AsyncDisposable {
  readonly receiver: Receiver;
  readonly openConnections: () => number;
  readonly queueUrl: (name: string) => string;
  readonly intercept: (next: Intercept) => void;
  /** The answer of the emulator, past the door. */
  readonly forward: (request: ReceivedRequest) => Promise<{ status: number; body: string }>;
  /** Puts a message into a queue. */
  readonly put: (queue: string, body: string) => void;
  /** Takes the next message out of a queue. */
  readonly take: (queue: string) => Promise<SqsMessage>;
  /** Messages that are in a queue. */
  readonly length: (queue: string) => number;
}

/** An error in the words of the JSON protocol. */
export const awsError = (status: number, type: string, message = "no"): Reply => ({
  status,
  headers: { "content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "request-1" },
  body: JSON.stringify({ __type: `com.amazonaws.sqs#${type}`, message }),
});

/** The emulator takes surrogate pairs for forbidden characters; SQS does not. */
const mendEmulator = async (): Promise<void> => {
  const file = new URL("./sqs/sqsTypes.js", import.meta.resolve("fauxqs"));
  const { INVALID_MESSAGE_BODY_CHAR: pattern } = (await import(file.href)) as { INVALID_MESSAGE_BODY_CHAR: RegExp };
  const unicode = new RegExp(`${pattern.source.slice(0, -1)}\\u{10000}-\\u{10ffff}]`, "u");
  Object.assign(pattern, { test: (text: string) => unicode.test(text) });
};

const forwardTo = async (port: number, { method, headers, rawBody }: ReceivedRequest) => {
  const passed = ["authorization", "content-type", "x-amz-target", "x-amz-date"];
  const kept = Object.fromEntries(passed.map((name) => [name, String(headers[name] ?? "")]));
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method, headers: kept, body: rawBody });
  return { status: answer.status, headers: { "x-amzn-requestid": "request-1" }, body: await answer.text() };
};

/** Takes the next message out of a queue, as an independent consumer. */
export const takeMessage = async (client: SQSClient, QueueUrl: string): Promise<SqsMessage> => {
  const { Messages = [] } = await client.send(
    new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 1,
      WaitTimeSeconds: 15,
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
    }),
  );
  const [message] = Messages;
  if (message === undefined) throw new Error(`No message came to ${QueueUrl}`);
  await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
  return message;
};

/** The event in a message that carries the payload as it was inserted. */
export const eventOfMessage = ({ Body = "", MessageAttributes: { id, topic } = {} }: SqsMessage): Received => ({
  payload: Body,
  id: id?.StringValue ?? "",
  topic: topic?.StringValue ?? "",
});

/** Starts SQS with queues; a name that ends in `.fifo` makes a FIFO queue. */
export async function startSqs(queues: readonly string[], allowed: SigningScope = scopeOf("sqs")): Promise<Sqs> {
  await mendEmulator();
  const server = await startFauxqs({ port: 0, logger: false, defaultRegion: region });
  for (const name of queues) {
    server.createQueue(name, { region, attributes: name.endsWith(".fifo") ? { FifoQueue: "true" } : {} });
  }
  const sockets = new Set<Socket>();
  let intercept: Intercept = () => undefined;
  const forward = (request: ReceivedRequest) => forwardTo(server.port, request);
  const receiver = await startReceiver({
    respond: async (request, { socket }) => {
      if (socket !== null && !sockets.has(socket)) {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      }
      const problem = signatureProblem(request, allowed);
      if (problem !== undefined) return awsError(403, problem);
      return (await intercept(request)) ?? (await forward(request));
    },
  });
  const consumer = new SQSClient({
    region,
    endpoint: `http://127.0.0.1:${server.port}`,
    credentials: { accessKeyId: "consumer", secretAccessKey: "consumer" },
  });
  return {
    receiver,
    openConnections: () => sockets.size,
    queueUrl: (name) => `${receiver.url}/000000000000/${name}`,
    intercept: (next) => {
      intercept = next;
    },
    forward,
    put: (queue, body) => void server.sendMessage(queue, body),
    take: (queue) => takeMessage(consumer, server.inspectQueue(queue)?.url ?? ""),
    length: (queue) => server.inspectQueue(queue)?.messages.ready.length ?? 0,
    [Symbol.asyncDispose]: async () => {
      consumer.destroy();
      await receiver.close();
      await server.stop();
    },
  };
}
