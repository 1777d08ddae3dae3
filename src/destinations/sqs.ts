/** Amazon SQS, standard and FIFO queues: SendMessageBatch, up to ten messages in a request. */
import { createHash } from "node:crypto";
import type { MessageAttributeValue, SendMessageBatchRequestEntry, SendMessageBatchResult } from "@aws-sdk/client-sqs";
import { z } from "zod";
import { defineDestination, type Message, type Outcome } from "../destination.ts";
import { dead, retry, tooLarge } from "../outcome.ts";
import { awsFields, awsProblem, awsSecrets, connectAws, endpointOf, traceHeader } from "../protocols/aws.ts";
import { answerOf, outcomeOfAwsCode } from "../protocols/aws-answer.ts";
import { type Sized, sendEntries } from "../protocols/aws-entries.ts";
import { bodyField, render, sourceField } from "../rendering.ts";

const config = z.strictObject({
  queue_url: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+\/[^?#]*[A-Za-z0-9_-](\.fifo)?$/)
    .meta({ title: "Queue URL", description: "As SQS shows it: https://sqs.<region>.amazonaws.com/<account>/<queue>" }),
  ...awsFields,
  body: bodyField,
  source: sourceField,
  headers: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{1,128}$/))
    .max(5)
    .default([])
    .meta({ title: "Headers", description: "Names of event headers that become message attributes" }),
});

type Config = z.infer<typeof config>;
type Attributes = Readonly<Record<string, string>>;
interface Client {
  readonly send: (
    entries: readonly SendMessageBatchRequestEntry[],
    signal: AbortSignal,
  ) => ReturnType<typeof sendBatch>;
  readonly close: () => Promise<void>;
}
type Send = (
  entries: readonly SendMessageBatchRequestEntry[],
  abortSignal: AbortSignal,
) => Promise<SendMessageBatchResult>;

const service = "SQS";
/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const bytesMax = 1_048_576;
const attributesMax = 10;
const entriesMax = 10;
/** All attributes that are ours: of the plain forms, and of CloudEvents with their content type. */
const ownAttributes = ["id", "topic", "tenant", "key", "traceparent"];
const cloudEventAttributesMax = 9;

const awsHost = /^(?:sqs\.)?([a-z0-9-]+)(?:\.queue)?\.amazonaws\.(?:com(?:\.cn)?|eu)$/;
const isAwsHost = ({ hostname }: URL): boolean => /\.amazonaws\.(?:com(?:\.cn)?|eu)$/.test(hostname);

/** The region that the host of a queue names; `queue.amazonaws.com` is the oldest one. */
const regionOfUrl = (url: URL): string | undefined => {
  const region = awsHost.exec(url.hostname)?.[1];
  return region === "queue" ? "us-east-1" : region;
};

const regionOf = ({ region, queue_url }: Config): string => region ?? regionOfUrl(new URL(queue_url)) ?? "";

const headersProblem = ({ headers, body }: Config): string | undefined => {
  const names = headers.map((name) => name.toLowerCase());
  const room = attributesMax - (body === "cloudevents_binary" ? cloudEventAttributesMax : ownAttributes.length);
  if (headers.length > room) return `config.headers: at most ${room} fit beside the attributes of this body`;
  if (new Set(names).size < names.length) return "config.headers: a name is given twice";
  const taken = names.find((name) => ownAttributes.includes(name) || /^(ce_|aws|amazon|content-type$)/.test(name));
  return taken === undefined ? undefined : `config.headers: the name ${taken} is taken`;
};

const addressProblem = ({ queue_url, region, endpoint }: Config): string | undefined => {
  if (!URL.canParse(queue_url)) return "config.queue_url: is not a URL";
  const url = new URL(queue_url);
  if (!isAwsHost(url) && endpoint === undefined) return "config.endpoint: is needed for a queue outside amazonaws.com";
  const named = regionOfUrl(url);
  if (named === undefined && region === undefined) return "config.region: is needed, the queue's URL names none";
  if (named !== undefined && region !== undefined && named !== region) return `config.region: the queue is in ${named}`;
  return undefined;
};

const problem = (config: Config): string | undefined =>
  addressProblem(config) ?? awsProblem(config) ?? headersProblem(config);

const chosenHeaders = (names: readonly string[], headers: Message["headers"]): Attributes => {
  const values = new Map(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  return Object.fromEntries(names.map((name) => [name, values.get(name.toLowerCase()) ?? ""]));
};

const plainAttributes = ({ eventId, topic, tenantId, key, traceparent }: Message): Attributes => ({
  id: eventId,
  topic,
  tenant: tenantId,
  key: key ?? "",
  traceparent: traceparent ?? "",
});

/** CloudEvents has no binding for SQS: the names are those of its Kafka binding. */
const cloudEventAttributes = (attributes: Attributes, contentType: string): Attributes => ({
  ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value])),
  "content-type": contentType,
});

/** SQS takes no empty attribute. */
const withoutEmpty = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== ""));

const typed = (attributes: Attributes): Record<string, MessageAttributeValue> =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: "String", StringValue }]),
  );

/** The body, and each attribute's name, type and value. */
const sizeOf = (body: string, attributes: Attributes): number =>
  Object.entries(attributes).reduce(
    (bytes, [name, value]) => bytes + Buffer.byteLength(name) + "String".length + Buffer.byteLength(value),
    Buffer.byteLength(body),
  );

/** What SQS takes: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF. */
const refusedCharacter = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const groupPattern = /^[!-~]{1,128}$/;

/** Messages of one key, or without a key those of one subscription, stay in order. */
const groupOf = ({ key, subscriptionId }: Message): string => {
  const group = key ?? subscriptionId;
  return groupPattern.test(group) ? group : createHash("sha256").update(group).digest("hex");
};

const trace = (traceparent: string) => ({
  MessageSystemAttributes: { AWSTraceHeader: { DataType: "String", StringValue: traceHeader(traceparent) } },
});

const isFifo = ({ queue_url }: Config): boolean => queue_url.endsWith(".fifo");

const prepare = (message: Message, index: number, config: Config): Sized<SendMessageBatchRequestEntry> | Outcome => {
  const { body, contentType, attributes: ce } = render(message, config.body, config.source);
  const isBinary = config.body === "cloudevents_binary";
  const attributes = withoutEmpty({
    ...chosenHeaders(config.headers, message.headers),
    ...(isBinary ? cloudEventAttributes(ce, contentType) : plainAttributes(message)),
  });
  if (refusedCharacter.test(body)) return dead("rejected", "the body holds a character that SQS refuses");
  const refused = Object.keys(attributes).find((name) => refusedCharacter.test(attributes[name] ?? ""));
  if (refused !== undefined) return dead("rejected", `the attribute ${refused} holds a character that SQS refuses`);
  const bytes = sizeOf(body, attributes);
  if (bytes > bytesMax) return tooLarge(bytes, bytesMax, "the message with its attributes");
  const entry = {
    Id: String(index),
    MessageBody: body,
    MessageAttributes: typed(attributes),
    ...(message.traceparent !== null && trace(message.traceparent)),
    ...(isFifo(config) && { MessageGroupId: groupOf(message), MessageDeduplicationId: message.eventId }),
  };
  return { entry, bytes };
};

/** SQS says which entries it took, and of the others whose fault it is; of one that it leaves out nothing is known. */
const outcomesOf = (
  entries: readonly SendMessageBatchRequestEntry[],
  { Successful = [], Failed = [] }: SendMessageBatchResult,
): readonly Outcome[] => {
  const taken = new Map(Successful.map(({ Id, MessageId }) => [Id, MessageId]));
  const failed = new Map(Failed.map((failure) => [failure.Id, failure]));
  return entries.map(({ Id }): Outcome => {
    const failure = failed.get(Id);
    const otherwise = failure?.SenderFault === true ? "rejected" : "unavailable";
    if (failure !== undefined) return outcomeOfAwsCode(service, failure.Code ?? "", otherwise);
    if (!taken.has(Id)) return retry("protocol", "the answer of SQS leaves this message out");
    return { kind: "delivered", response: { status: 200, body: JSON.stringify({ MessageId: taken.get(Id) }) } };
  });
};

const sendBatch = async (
  send: Send,
  entries: readonly SendMessageBatchRequestEntry[],
  signal: AbortSignal,
): Promise<readonly Outcome[] | Outcome> => {
  const answer = await answerOf(service, signal, (abortSignal) => send(entries, abortSignal));
  return "failure" in answer ? answer.failure : outcomesOf(entries, answer.output);
};

/** Ten messages in a request, as far as they fit into 1 MiB together. */
export const destination = defineDestination<Config, Client>({
  type: "sqs",
  label: "Amazon SQS",
  config,
  secrets: awsSecrets,
  addresses: (config) => [endpointOf("sqs", regionOf(config), config.endpoint)],
  check: problem,
  connect: async (context) => {
    const { SendMessageBatchCommand, SQSClient } = await import("@aws-sdk/client-sqs");
    const { options, close } = connectAws(context, "sqs", regionOf(context.config));
    const client = new SQSClient({ ...options, useQueueUrlAsEndpoint: false });
    const send: Send = (entries, abortSignal) =>
      client.send(new SendMessageBatchCommand({ QueueUrl: context.config.queue_url, Entries: [...entries] }), {
        abortSignal,
      });
    return { send: (entries, signal) => sendBatch(send, entries, signal), close };
  },
  disconnect: ({ close }) => close(),
  batchSizeMax: entriesMax,
  deliverBatch: (messages, { config, client, signal }) =>
    sendEntries(
      messages.map((message, index) => prepare(message, index, config)),
      { bytesMax, ordered: isFifo(config), send: (entries) => client.send(entries, signal) },
    ),
});
