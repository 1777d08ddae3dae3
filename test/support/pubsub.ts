/**
 * A Pub/Sub server that speaks real gRPC, with Google's own protocol files, and keeps the limits that Google documents.
 * `await using pubsub = await startPubsub();`
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Arrivals } from "./arrivals.ts";
import type { Certificate } from "./certificate.ts";
import { createTopics, type PubsubTopics } from "./pubsub_subscriptions.ts";

/** A message as a subscriber would get it. */
export interface StoredMessage {
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
  readonly messageId: string;
}

/** A request to publish, as it came in. */
export interface PublishRequest {
  readonly topic: string;
  readonly messages: readonly Omit<StoredMessage, "messageId">[];
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * What becomes of a request: `store` is the default; a status refuses it; `lost` stores it and breaks the connection;
 * `cut` breaks the connection at once; `hang` never answers.
 */
export type PubsubReply = "store" | "lost" | "cut" | "hang" | { readonly status: number; readonly details?: string };

export interface PubsubOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly tls?: Certificate;
  readonly respond?: (request: PublishRequest) => PubsubReply;
}

export interface PubsubServer extends AsyncDisposable {
  readonly port: number;
  /** Of all topics. The first is `events` of the project `acme-shop`. */
  readonly stored: Arrivals<StoredMessage>;
  readonly requests: Arrivals<PublishRequest>;
  /** Now, and ever. */
  readonly connections: { readonly open: number; readonly made: number };
  respondWith(respond: (request: PublishRequest) => PubsubReply): void;
  close(): Promise<void>;
}

export const topicName = "projects/acme-shop/topics/events";

const packageFolder = (name: string, from: NodeJS.Require): string => {
  let folder = dirname(from.resolve(name));
  while (!folder.endsWith(join("node_modules", name))) folder = dirname(folder);
  return folder;
};

const loadServices = (): readonly ServiceDefinition[] => {
  const here = createRequire(import.meta.url);
  const pubsub = packageFolder("@google-cloud/pubsub", here);
  const gax = packageFolder("google-gax", createRequire(here.resolve("@google-cloud/pubsub")));
  const includeDirs = [pubsub, gax].map((folder) => join(folder, "build", "protos"));
  const loaded = loadSync("google/pubsub/v1/pubsub.proto", { includeDirs, defaults: true, longs: String });
  return ["Publisher", "Subscriber"].map((name) => loaded[`google.pubsub.v1.${name}`] as ServiceDefinition);
};

const problemOf = ({ data, attributes, orderingKey }: PublishRequest["messages"][number]): string | undefined => {
  const entries = Object.entries(attributes);
  if (data.length === 0 && entries.length === 0) return "the message is empty";
  if (entries.length > 100) return "there are too many attributes";
  if (Buffer.byteLength(orderingKey) > 1024) return "the ordering key is too long";
  if (entries.some(([name]) => name === "" || Buffer.byteLength(name) > 256)) return "an attribute name is not valid";
  if (entries.some(([name]) => name.startsWith("goog"))) return "an attribute name is reserved";
  if (entries.some(([, value]) => Buffer.byteLength(value) > 1024)) return "an attribute is too long";
  return undefined;
};

const refusalOf = ({ topic, messages }: PublishRequest, bytes: number, topics: PubsubTopics) => {
  if (!topics.has(topic)) return { code: status.NOT_FOUND, details: "Resource not found" };
  const count = messages.length === 0 || messages.length > 1_000 ? "the number of messages is not valid" : undefined;
  const size = bytes > 10_000_000 ? "the request is too large" : undefined;
  const details = count ?? size ?? messages.map(problemOf).find((problem) => problem !== undefined);
  return details === undefined ? undefined : { code: status.INVALID_ARGUMENT, details };
};

const headersOf = (metadata: Metadata): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata.getMap()).map(([name, value]) => [name, String(value)]));

/** Starts a server on 127.0.0.1, at first with one topic. */
export async function startPubsub(options: PubsubOptions = {}): Promise<PubsubServer> {
  const stored = new Arrivals<StoredMessage>();
  const requests = new Arrivals<PublishRequest>();
  const sockets = new Set<Socket>();
  let made = 0;
  let respond = options.respond ?? ((): PubsubReply => "store");
  // Not with a reset: Node's HTTP/2 sessions do not survive one below them, and the process never ends.
  const breakConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  const topics = createTopics(topicName);
  const store = ({ topic, messages }: PublishRequest): { messageIds: string[] } => ({
    messageIds: messages.map((message) => {
      const messageId = String(10_000 + stored.count);
      stored.add({ ...message, messageId });
      topics.publish(topic, { ...message, messageId });
      return messageId;
    }),
  });
  type Call = ServerUnaryCall<Omit<PublishRequest, "headers">, { messageIds: string[] }>;
  const [publisher = {}, subscriber = {}] = loadServices();
  const publish = (call: Call, answer: sendUnaryData<{ messageIds: string[] }>): void => {
    const request = { ...call.request, headers: headersOf(call.metadata) };
    requests.add(request);
    const bytes = publisher.Publish?.requestSerialize(call.request).length ?? 0;
    const refusal = refusalOf(request, bytes, topics);
    const reply = refusal === undefined ? respond(request) : "refused";
    const answered = reply === "store" || reply === "lost" ? store(request) : undefined;
    if (refusal !== undefined) answer(refusal);
    else if (typeof reply === "object") answer({ code: reply.status, details: reply.details ?? "as told" });
    else if (reply === "lost" || reply === "cut") breakConnections();
    else if (answered !== undefined) answer(null, answered);
  };

  const server = new Server({ "grpc.max_receive_message_length": 32 * 1024 * 1024 });
  server.addService(publisher, { ...topics.publisher, Publish: publish });
  server.addService(subscriber, topics.subscriber);
  const { tls } = options;
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) }]);
  const injector = server.createConnectionInjector(credentials);
  const listener = createServer((socket) => {
    made += 1;
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
    injector.injectConnection(socket);
  });
  listener.listen(options.port ?? 0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const close = async (): Promise<void> => {
    stored.close();
    requests.close();
    const closed = new Promise((resolve) => listener.close(resolve));
    breakConnections();
    injector.destroy();
    server.forceShutdown();
    await closed;
  };
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    stored,
    requests,
    connections: {
      get open() {
        return sockets.size;
      },
      get made() {
        return made;
      },
    },
    respondWith(next) {
      respond = next;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A config that leads to the topic of a server on this port. */
export const pubsubConfig = (port: number, given: object = {}) => ({
  project_id: "acme-shop",
  topic: "events",
  endpoint: `http://127.0.0.1:${port}`,
  ...given,
});
