/** Topics and subscriptions of the Pub/Sub server: a message goes once to each subscription, and what is sent is acknowledged. */
import type { ServerDuplexStream, ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { StoredMessage } from "./pubsub.ts";

interface Subscription {
  readonly topic: string;
  readonly waiting: StoredMessage[];
  readonly streams: Set<PullStream>;
}

type PullStream = ServerDuplexStream<{ readonly subscription: string }, object>;
type Unary<Request> = (call: ServerUnaryCall<Request, object>, answer: sendUnaryData<object>) => void;

export interface PubsubTopics {
  readonly has: (topic: string) => boolean;
  readonly publish: (topic: string, message: StoredMessage) => void;
  /** What publishers ask for, beside publishing. */
  readonly publisher: UntypedServiceImplementation;
  readonly subscriber: UntypedServiceImplementation;
}

/** Starts with these topics. */
export const createTopics = (...names: readonly string[]): PubsubTopics => {
  const topics = new Set(names);
  const subscriptions = new Map<string, Subscription>();

  /** Nobody waits long for an acknowledgement here, so none is kept. */
  const flush = ({ waiting, streams: [stream] }: { waiting: StoredMessage[]; streams: Iterable<PullStream> }): void => {
    if (stream === undefined || waiting.length === 0) return;
    const publishTime = { seconds: "0", nanos: 0 };
    stream.write({
      receivedMessages: waiting.splice(0).map((message) => ({
        ackId: message.messageId,
        message: { ...message, publishTime },
      })),
    });
  };

  const streamingPull = (stream: PullStream): void => {
    let subscription: Subscription | undefined;
    stream.on("data", ({ subscription: name }) => {
      subscription ??= subscriptions.get(name);
      subscription?.streams.add(stream);
      if (subscription !== undefined) flush(subscription);
    });
    stream.on("error", () => {});
    stream.on("close", () => subscription?.streams.delete(stream));
    stream.on("end", () => {
      subscription?.streams.delete(stream);
      stream.end();
    });
  };
  const unary =
    <Request extends object>(effect: (request: Request) => unknown): Unary<Request> =>
    ({ request }, answer) => {
      effect(request);
      answer(null, { ...request });
    };

  return {
    has: (topic) => topics.has(topic),
    publish: (topic, message) => {
      for (const subscription of subscriptions.values()) {
        if (subscription.topic !== topic) continue;
        subscription.waiting.push(message);
        flush(subscription);
      }
    },
    publisher: {
      CreateTopic: unary<{ name: string }>(({ name }) => topics.add(name)),
      DeleteTopic: unary<{ topic: string }>(({ topic }) => topics.delete(topic)),
    },
    subscriber: {
      CreateSubscription: unary<{ name: string; topic: string }>(({ name, topic }) =>
        subscriptions.set(name, { topic, waiting: [], streams: new Set() }),
      ),
      DeleteSubscription: unary<{ subscription: string }>(({ subscription }) => subscriptions.delete(subscription)),
      Acknowledge: unary(() => {}),
      ModifyAckDeadline: unary(() => {}),
      StreamingPull: streamingPull,
    },
  };
};
