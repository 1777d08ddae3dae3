/** Amazon EventBridge: PutEvents, up to ten events in a request, to one event bus. */
import type { PutEventsRequestEntry, PutEventsResponse } from "@aws-sdk/client-eventbridge";
import { z } from "zod";
import { defineDestination, type Message, type Outcome } from "../destination.ts";
import { dead, retry, tooLarge } from "../outcome.ts";
import { awsFields, awsProblem, awsSecrets, connectAws, endpointOf, traceHeader } from "../protocols/aws.ts";
import { answerOf, outcomeOfAwsCode } from "../protocols/aws-answer.ts";
import { type Sized, sendEntries } from "../protocols/aws-entries.ts";
import { render, sourceField } from "../rendering.ts";

const config = z.strictObject({
  event_bus_name: z
    .string()
    .max(512)
    .regex(/^(arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus\/)?[A-Za-z0-9._/-]+$/)
    .default("default")
    .meta({ title: "Event bus", description: "Its name or ARN" }),
  ...awsFields,
  body: z.enum(["cloudevents", "envelope", "payload"]).default("cloudevents").meta({
    title: "Detail",
    description:
      "cloudevents: CloudEvents 1.0, structured; envelope: {type, timestamp, data}; payload: the payload as inserted, which must be an object",
  }),
  source: sourceField.meta({ title: "Source", description: "Of the event; default /postrider/ and the tenant" }),
  resources: z
    .array(z.string().min(1).max(2048))
    .max(20)
    .default([])
    .meta({ title: "Resources", description: "ARNs that each event names" }),
});

type Config = z.infer<typeof config>;
interface Client {
  readonly send: (entries: readonly PutEventsRequestEntry[], signal: AbortSignal) => ReturnType<typeof putEvents>;
  readonly close: () => Promise<void>;
}
type Send = (entries: readonly PutEventsRequestEntry[], abortSignal: AbortSignal) => Promise<PutEventsResponse>;

const service = "EventBridge";
/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html */
const bytesMax = 262_144;
const entriesMax = 10;
const sourceBytesMax = 256;
const detailTypeBytesMax = 128;

const regionOfBus = (name: string): string | undefined => /^arn:[^:]*:events:([^:]*):/.exec(name)?.[1];
const regionOf = ({ region, event_bus_name }: Config): string => region ?? regionOfBus(event_bus_name) ?? "";

const problem = (config: Config): string | undefined => {
  const named = regionOfBus(config.event_bus_name);
  if (named === undefined && config.region === undefined) return "config.region: is needed, unless the bus is an ARN";
  if (named !== undefined && config.region !== undefined && named !== config.region) {
    return `config.region: the bus is in ${named}`;
  }
  if (config.source?.startsWith("aws.")) return "config.source: aws. is for Amazon's own events";
  return awsProblem(config);
};

/**
 * The size of an entry as EventBridge counts it: 14 bytes for the time, and the text of source, detail type, detail and
 * resources (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-event-entry-size).
 */
const sizeOf = ({ Source = "", DetailType = "", Detail = "", Resources = [] }: PutEventsRequestEntry): number =>
  [Source, DetailType, Detail, ...Resources].reduce((bytes, text) => bytes + Buffer.byteLength(text), 14);

/** A payload is JSON, so its first character says what it is. */
const isObject = (json: string): boolean => /^[ \t\r\n]*\{/.test(json);

const prepare = (message: Message, config: Config): Sized<PutEventsRequestEntry> | Outcome => {
  const { body } = render(message, config.body, config.source);
  const source = config.source ?? `/postrider/${encodeURIComponent(message.tenantId)}`;
  if (!isObject(body)) {
    return dead("rejected", "EventBridge takes objects only: set config.body to cloudevents or envelope");
  }
  if (Buffer.byteLength(source) > sourceBytesMax)
    return tooLarge(Buffer.byteLength(source), sourceBytesMax, "the source");
  if (message.topic.length > detailTypeBytesMax) return tooLarge(message.topic.length, detailTypeBytesMax, "the topic");
  const entry = {
    EventBusName: config.event_bus_name,
    Source: source,
    DetailType: message.topic,
    Detail: body,
    Time: message.occurredAt,
    ...(config.resources.length > 0 && { Resources: [...config.resources] }),
    ...(message.traceparent !== null && { TraceHeader: traceHeader(message.traceparent) }),
  };
  const bytes = sizeOf(entry);
  return bytes > bytesMax ? tooLarge(bytes, bytesMax, "the event") : { entry, bytes };
};

/** EventBridge answers for each entry in their order; HTTP 200 alone says nothing. */
const outcomesOf = (count: number, { Entries = [] }: PutEventsResponse): readonly Outcome[] =>
  Array.from({ length: count }, (_, index): Outcome => {
    const { EventId, ErrorCode } = Entries[index] ?? {};
    if (ErrorCode !== undefined) return outcomeOfAwsCode(service, ErrorCode, "rejected");
    if (EventId === undefined) return retry("protocol", "the answer of EventBridge leaves this event out");
    return { kind: "delivered", response: { status: 200, body: JSON.stringify({ EventId }) } };
  });

const putEvents = async (
  send: Send,
  entries: readonly PutEventsRequestEntry[],
  signal: AbortSignal,
): Promise<readonly Outcome[] | Outcome> => {
  const answer = await answerOf(service, signal, (abortSignal) => send(entries, abortSignal));
  return "failure" in answer ? answer.failure : outcomesOf(entries.length, answer.output);
};

/** Ten events in a request, as far as they fit into 256 KiB together. */
export const destination = defineDestination<Config, Client>({
  type: "eventbridge",
  label: "Amazon EventBridge",
  config,
  secrets: awsSecrets,
  addresses: (config) => [endpointOf("events", regionOf(config), config.endpoint)],
  check: problem,
  connect: async (context) => {
    const { EventBridgeClient, PutEventsCommand } = await import("@aws-sdk/client-eventbridge");
    const { options, close } = connectAws(context, "events", regionOf(context.config));
    const client = new EventBridgeClient(options);
    const send: Send = (entries, abortSignal) =>
      client.send(new PutEventsCommand({ Entries: [...entries] }), { abortSignal });
    return { send: (entries, signal) => putEvents(send, entries, signal), close };
  },
  disconnect: ({ close }) => close(),
  batchSizeMax: entriesMax,
  deliverBatch: (messages, { config, client, signal }) =>
    sendEntries(
      messages.map((message) => prepare(message, config)),
      { bytesMax, ordered: false, send: (entries) => client.send(entries, signal) },
    ),
});
