/** Turns events into messages of Google Cloud Pub/Sub, within what one request takes. */
import type { google } from "@google-cloud/pubsub/build/protos/protos.js";
import type { Message, Outcome } from "../destination.ts";
import { isReservedHeader } from "../headers.ts";
import { dead, tooLarge } from "../outcome.ts";
import { type BodyForm, render } from "../rendering.ts";

/** A message as the SDK encodes it. */
export type PubsubMessage = google.pubsub.v1.IPubsubMessage & { readonly orderingKey: string };

/** What a destination's config says about messages. */
export interface MessageOptions {
  readonly body: BodyForm;
  readonly source?: string | undefined;
  /** Whether the event's key becomes the ordering key. */
  readonly ordering: boolean;
  /** Sent with every message. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** https://cloud.google.com/pubsub/quotas, "Resource limits". */
export const messagesMax = 1_000;
const requestBytesMax = 10_000_000;
/** The name of the topic must fit as well. */
const messagesBytesMax = requestBytesMax - 1_000;
const attributesMax = 100;
/** Leaves room for ours, those of CloudEvents and 32 headers of the event. */
const configAttributesMax = 32;
const nameBytesMax = 256;
const valueBytesMax = 1_024;
const orderingKeyBytesMax = 1_024;
/** What Protocol Buffers put around a message, and around an attribute, at most. */
const messageFrameBytes = 32;
const attributeFrameBytes = 16;

const ownNames = new Set(["id", "topic", "tenant", "time", "key", "content-type", "traceparent"]);

/** Names that the tenant may not use: ours, those of CloudEvents, and Google's. */
const isReservedAttribute = (name: string): boolean =>
  name === "" || ownNames.has(name) || isReservedHeader(name) || /^goog/i.test(name);

/** The event's own headers, without those that are ours or Google's to set. */
const eventAttributes = (headers: Message["headers"]): Record<string, string> =>
  Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => !isReservedAttribute(name)));

/**
 * The message for an event. `ce-` and `content-type` are as in Google's Pub/Sub Protocol Binding for CloudEvents 1.0; the
 * other attributes are there in every form, so that subscriptions can filter by them.
 */
export const messageOfEvent = (message: Message, { body: form, source, ...config }: MessageOptions): PubsubMessage => {
  const { body, contentType, attributes } = render(message, form, source);
  return {
    data: Buffer.from(body),
    attributes: {
      ...eventAttributes(message.headers),
      ...config.attributes,
      id: message.eventId,
      topic: message.topic,
      tenant: message.tenantId,
      time: message.occurredAt.toISOString(),
      ...(message.key !== null && { key: message.key }),
      ...(message.traceparent !== null && { traceparent: message.traceparent }),
      "content-type": contentType,
      ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value])),
    },
    orderingKey: config.ordering ? (message.key ?? "") : "",
  };
};

/** What a message takes of a request, rounded up. */
const bytesOf = ({ data, attributes, orderingKey }: PubsubMessage): number =>
  Object.entries(attributes ?? {}).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value) + attributeFrameBytes,
    (data?.length ?? 0) + Buffer.byteLength(orderingKey) + messageFrameBytes,
  );

const attributeRefusal = ([name, value]: readonly [string, string]): Outcome | undefined => {
  const nameBytes = Buffer.byteLength(name);
  if (nameBytes > nameBytesMax) return tooLarge(nameBytes, nameBytesMax, "the name of an attribute");
  const valueBytes = Buffer.byteLength(value);
  return valueBytes > valueBytesMax ? tooLarge(valueBytes, valueBytesMax, `the attribute ${name}`) : undefined;
};

/** Why Pub/Sub would refuse a message, and its whole request with it; undefined when it fits. */
export const refusal = (message: PubsubMessage): Outcome | undefined => {
  const bytes = bytesOf(message);
  if (bytes > messagesBytesMax) return tooLarge(bytes, messagesBytesMax);
  const keyBytes = Buffer.byteLength(message.orderingKey);
  if (keyBytes > orderingKeyBytesMax) return tooLarge(keyBytes, orderingKeyBytesMax, "the ordering key");
  const attributes = Object.entries(message.attributes ?? {});
  if (attributes.length > attributesMax) {
    return dead("rejected", `there are ${attributes.length} attributes, and Pub/Sub takes ${attributesMax}`);
  }
  return attributes.map(attributeRefusal).find((refused) => refused !== undefined);
};

/** What is wrong with attributes that a config wants to be sent with every message, or undefined. */
export const checkAttributes = (attributes: Readonly<Record<string, string>>): string | undefined => {
  const entries = Object.entries(attributes);
  if (entries.length > configAttributesMax) return `config.attributes: at most ${configAttributesMax} are allowed`;
  for (const entry of entries) {
    const [name] = entry;
    if (isReservedAttribute(name)) return `config.attributes.${name}: the name is reserved`;
    const refused = attributeRefusal(entry);
    if (refused?.kind === "dead") return `config.attributes.${name.slice(0, nameBytesMax)}: ${refused.reason}`;
  }
  return undefined;
};

/** Splits messages, in their order, into requests of at most 10 MB. */
export const requestsOf = (messages: readonly PubsubMessage[]): readonly (readonly PubsubMessage[])[] => {
  const requests: PubsubMessage[][] = [];
  let left = 0;
  for (const message of messages) {
    const bytes = bytesOf(message);
    if (bytes > left) {
      requests.push([]);
      left = messagesBytesMax;
    }
    requests.at(-1)?.push(message);
    left -= bytes;
  }
  return requests;
};
