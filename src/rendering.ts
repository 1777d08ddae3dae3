/**
 * What an event looks like on the wire, for every destination type alike. The payload is put in as text, never parsed: its
 * bytes are the producer's.
 */
import { z } from "zod";
import type { Message } from "./destination.ts";

/** The forms of a body. */
export const bodyForms = ["payload", "envelope", "cloudevents", "cloudevents_binary"] as const;
export type BodyForm = (typeof bodyForms)[number];

/** The config field `body` of a destination type. */
export const bodyField = z.enum(bodyForms).default("payload").meta({
  title: "Body",
  description:
    "payload: the payload as inserted; envelope: {type, timestamp, data}; cloudevents: CloudEvents 1.0, structured; cloudevents_binary: the payload, with CloudEvents attributes beside",
});

/** The config field `source` of a destination type. */
export const sourceField = z.string().min(1).max(256).optional().meta({
  title: "CloudEvents source",
  description: "A URI reference; default /postrider/ and the tenant",
});

/** A body, and what goes beside it. */
export interface Rendered {
  readonly body: string;
  readonly contentType: string;
  /** CloudEvents context attributes for the protocol's headers, names without prefix; empty unless the form is binary. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** CloudEvents 1.0 context attributes, with the `partitionkey` and distributed tracing extensions. */
const cloudEventAttributes = (message: Message, source: string | undefined): Record<string, string> => ({
  specversion: "1.0",
  id: message.eventId,
  source: source ?? `/postrider/${encodeURIComponent(message.tenantId)}`,
  type: message.topic,
  time: message.occurredAt.toISOString(),
  ...(message.key !== null && { subject: message.key, partitionkey: message.key }),
  ...(message.traceparent !== null && { traceparent: message.traceparent }),
});

const json = "application/json";
const noAttributes = Object.freeze({});

/**
 * Renders an event.
 * @param source the CloudEvents source; default `/postrider/` and the tenant
 */
export const render = (message: Message, form: BodyForm, source?: string): Rendered => {
  switch (form) {
    case "payload":
      return { body: message.payload, contentType: json, attributes: noAttributes };
    case "envelope": {
      const time = message.occurredAt.toISOString();
      const body = `{"type":"${message.topic}","timestamp":"${time}","data":${message.payload}}`;
      return { body, contentType: json, attributes: noAttributes };
    }
    case "cloudevents": {
      const attributes = JSON.stringify({ ...cloudEventAttributes(message, source), datacontenttype: json });
      const body = `${attributes.slice(0, -1)},"data":${message.payload}}`;
      return { body, contentType: "application/cloudevents+json; charset=utf-8", attributes: noAttributes };
    }
    case "cloudevents_binary":
      return { body: message.payload, contentType: json, attributes: cloudEventAttributes(message, source) };
  }
};
