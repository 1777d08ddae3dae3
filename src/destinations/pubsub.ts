/** Google Cloud Pub/Sub: each batch is a request to publish, or as many as its limits ask for. */
import { z } from "zod";
import { type DeliverContext, defineDestination, type Outcome } from "../destination.ts";
import { DialError } from "../outbound.ts";
import { dead, outcomeOfDialError } from "../outcome.ts";
import {
  checkAttributes,
  messageOfEvent,
  messagesMax,
  type PubsubMessage,
  refusal,
  requestsOf,
} from "../protocols/pubsub-message.ts";
import { grpcStatus, type PublishAnswer, PubsubPublisher } from "../protocols/pubsub-publisher.ts";
import { type Authorize, createAuthorize, readServiceAccount } from "../protocols/service-account.ts";
import { bodyField, sourceField } from "../rendering.ts";

const config = z.strictObject({
  project_id: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[a-z0-9][a-z0-9.:-]*$/)
    .meta({ title: "Project", description: "Id of the Google Cloud project that has the topic" }),
  topic: z
    .string()
    .min(3)
    .max(255)
    .regex(/^[A-Za-z][A-Za-z0-9._~%+-]*$/)
    .meta({ title: "Topic", description: "Name of the topic, without projects/.../topics/" }),
  ordering: z.boolean().default(false).meta({
    title: "Ordering",
    description: "The event's key becomes the ordering key; use a regional endpoint",
  }),
  endpoint: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+\/?$/)
    .default("https://pubsub.googleapis.com")
    .meta({
      title: "Endpoint",
      description: "https:// and a regional endpoint, or http:// and an emulator, to which no credentials are sent",
    }),
  attributes: z
    .record(z.string(), z.string())
    .default({})
    .meta({ title: "Attributes", description: "Sent with every message" }),
  body: bodyField,
  source: sourceField,
});

const secrets = z.strictObject({
  service_account: z.string().min(2).max(16_384).optional().meta({
    title: "Service account",
    description: "JSON key of a service account that may publish (roles/pubsub.publisher); its addresses are not used",
  }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, Client>;

interface Client {
  readonly publisher: PubsubPublisher;
  /** Undefined for plain text, over which no credentials go; a sentence when there are none that can be used. */
  readonly authorize: Authorize | string | undefined;
}

/** Whose tokens these are, whichever endpoint of it is called. */
const audience = "https://pubsub.googleapis.com/";

type Meaning = readonly [kind: "retry" | "dead", code: Extract<Outcome, { kind: "retry" }>["code"], reason: string];

const unavailable = (name: string): Meaning => ["retry", "unavailable", `Pub/Sub answered ${name}`];
const meanings: Readonly<Record<number, Meaning>> = {
  [grpcStatus.cancelled]: unavailable("CANCELLED"),
  [grpcStatus.unknown]: unavailable("UNKNOWN"),
  [grpcStatus.invalidArgument]: ["dead", "rejected", "Pub/Sub answered INVALID_ARGUMENT: it refuses this message"],
  [grpcStatus.deadlineExceeded]: ["retry", "timeout", "Pub/Sub answered DEADLINE_EXCEEDED"],
  [grpcStatus.notFound]: ["retry", "not_found", "Pub/Sub answered NOT_FOUND: check project_id and topic"],
  [grpcStatus.permissionDenied]: [
    "retry",
    "auth_failed",
    "Pub/Sub answered PERMISSION_DENIED: give the service account roles/pubsub.publisher on the topic",
  ],
  [grpcStatus.resourceExhausted]: ["retry", "throttled", "Pub/Sub answered RESOURCE_EXHAUSTED: a quota is used up"],
  [grpcStatus.failedPrecondition]: unavailable("FAILED_PRECONDITION"),
  [grpcStatus.aborted]: unavailable("ABORTED"),
  [grpcStatus.outOfRange]: ["dead", "rejected", "Pub/Sub answered OUT_OF_RANGE: it refuses this message"],
  [grpcStatus.unimplemented]: ["retry", "protocol", "there is no Pub/Sub at the endpoint: check endpoint"],
  [grpcStatus.internal]: unavailable("INTERNAL"),
  [grpcStatus.unavailable]: unavailable("UNAVAILABLE"),
  [grpcStatus.dataLoss]: unavailable("DATA_LOSS"),
  [grpcStatus.unauthenticated]: [
    "retry",
    "auth_failed",
    "Pub/Sub answered UNAUTHENTICATED: check that the key of service_account still exists",
  ],
};

const outcomeOfStatus = ({ status, reason: body }: PublishAnswer): Outcome => {
  const [kind, code, reason] = meanings[status] ?? ["retry", "protocol", `Pub/Sub answered with status ${status}`];
  return { kind, code, reason, response: { headers: { "grpc-status": String(status) }, body } };
};

const deliveredAs = (id: string | undefined): Outcome =>
  id !== undefined && /^[\w.:-]{1,128}$/.test(id)
    ? { kind: "delivered", response: { body: JSON.stringify({ messageId: id }) } }
    : { kind: "delivered" };

/** What became of each message. */
type Outcomes = Map<PubsubMessage, Outcome>;

const setAll = (outcomes: Outcomes, messages: readonly PubsubMessage[], outcome: Outcome): void => {
  for (const message of messages) outcomes.set(message, outcome);
};

/** @throws DialError */
const call = (messages: readonly PubsubMessage[], context: Context): Promise<PublishAnswer> => {
  const { config, client, signal, now } = context;
  return client.publisher.publish({
    request: { topic: `projects/${config.project_id}/topics/${config.topic}`, messages: [...messages] },
    headers: typeof client.authorize === "function" ? { authorization: client.authorize(now) } : {},
    signal,
  });
};

/** One request. It is refused as a whole, so a refused one is halved until its bad messages stand alone. */
const publish = async (messages: readonly PubsubMessage[], context: Context, outcomes: Outcomes): Promise<void> => {
  try {
    const answer = await call(messages, context);
    if (answer.status === grpcStatus.ok) {
      for (const [n, message] of messages.entries()) outcomes.set(message, deliveredAs(answer.ids[n]));
    } else if (answer.status === grpcStatus.invalidArgument && messages.length > 1) {
      const middle = Math.ceil(messages.length / 2);
      await publishAll([messages.slice(0, middle), messages.slice(middle)], context, outcomes);
    } else {
      setAll(outcomes, messages, outcomeOfStatus(answer));
    }
  } catch (error) {
    if (!(error instanceof DialError)) throw error;
    setAll(outcomes, messages, outcomeOfDialError(error));
  }
};

/**
 * Several requests: side by side, or one after another when messages have an order. There a message must not overtake one
 * of its key that will be tried again, so it shares its fate.
 */
const publishAll = async (
  requests: readonly (readonly PubsubMessage[])[],
  context: Context,
  outcomes: Outcomes,
): Promise<void> => {
  if (!context.config.ordering) {
    await Promise.all(requests.map((messages) => publish(messages, context, outcomes)));
    return;
  }
  const waiting = new Map<string, Outcome>();
  for (const messages of requests) {
    const [free, held] = [[] as PubsubMessage[], [] as PubsubMessage[]];
    for (const message of messages) (waiting.has(message.orderingKey) ? held : free).push(message);
    if (free.length > 0) await publish(free, context, outcomes);
    for (const message of held) outcomes.set(message, waiting.get(message.orderingKey) as Outcome);
    for (const message of free) {
      const outcome = outcomes.get(message);
      if (outcome?.kind === "retry" && message.orderingKey !== "") waiting.set(message.orderingKey, outcome);
    }
  }
};

const problem = ({ topic, endpoint, attributes }: Config): string | undefined => {
  if (/^goog/.test(topic)) return "config.topic: must not start with goog";
  if (!URL.canParse(endpoint)) return "config.endpoint: is not a URL";
  return checkAttributes(attributes);
};

const readAuthorize = ({ endpoint }: Config, [newest]: readonly string[] = []): Client["authorize"] => {
  if (new URL(endpoint).protocol === "http:") return undefined;
  const remedy = "give one with outbox.update_destination(secrets => ...)";
  if (newest === undefined) return `there is no service_account: ${remedy}`;
  const account = readServiceAccount(newest);
  return typeof account === "string" ? `secret service_account: ${account}` : createAuthorize(account, audience);
};

/** A request for up to 1000 events, over one connection. */
export const destination = defineDestination<Config, Client>({
  type: "pubsub",
  label: "Google Cloud Pub/Sub",
  config,
  secrets,
  addresses: ({ endpoint }) => [new URL(endpoint)],
  check: problem,
  connect: ({ config, secrets, dialler }) => ({
    publisher: new PubsubPublisher(dialler, new URL(config.endpoint)),
    authorize: readAuthorize(config, secrets.service_account),
  }),
  disconnect: ({ publisher }) => publisher.close(),
  batchSizeMax: messagesMax,
  deliverBatch: async (events, context) => {
    const { config, client } = context;
    const { authorize } = client;
    if (typeof authorize === "string") return events.map(() => dead("config_invalid", authorize));
    const messages = events.map((event) => messageOfEvent(event, config));
    const outcomes: Outcomes = new Map();
    const fitting = messages.filter((message) => {
      const refused = refusal(message);
      if (refused !== undefined) outcomes.set(message, refused);
      return refused === undefined;
    });
    await publishAll(requestsOf(fitting), context, outcomes);
    return messages.map((message) => outcomes.get(message) as Outcome);
  },
});
