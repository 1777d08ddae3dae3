/**
 * What a person should read of an event, in pieces: for every type whose other end is a person. Alerts of ours say what is
 * the matter and what to do; of any other event the payload is laid out, without reading it and writing it anew.
 */
import { z } from "zod";
import type { Message } from "./destination.ts";

const alertTopicPrefix = "postrider.alert.";

const alertSchema = z.object({
  kind: z.string(),
  state: z.enum(["firing", "resolved"]),
  severity: z.enum(["info", "warning", "critical"]),
  dedup_key: z.string().min(1),
  tenant_id: z.string().nullish(),
  destination: z.string().nullish(),
  destination_type: z.string().nullish(),
  since: z.string().nullish(),
  count: z.number().nullish(),
  title: z.string().min(1),
  text: z.string(),
  last_error: z
    .object({ code: z.string().nullish(), message: z.string().nullish(), remedy: z.string().nullish() })
    .nullish(),
  look: z.string().nullish(),
  redrive: z.string().nullish(),
});

/** Something of ours that somebody should know: the payload of a topic `postrider.alert.*`. */
export type Alert = z.infer<typeof alertSchema>;

/** A label and one line. */
export type Fact = readonly [label: string, value: string];
/** A label and text whose line breaks and spaces matter. */
export type Listing = readonly [label: string, text: string];

/** An event as a person reads it. Nothing in it is escaped, titles and facts are one line each. */
export interface Notice {
  readonly title: string;
  /** A sentence or two; of events that are no alerts there is none. */
  readonly text: string | undefined;
  readonly facts: readonly Fact[];
  readonly listings: readonly Listing[];
  /** What the event says, if it is an alert. */
  readonly alert: Alert | undefined;
}

const ellipsis = "…";

/** Text of at most so many UTF-16 code units; what is cut ends with an ellipsis. */
export const cut = (text: string, lengthMax: number): string => {
  if (text.length <= lengthMax) return text;
  // A character of two code units is not cut in half.
  return text.slice(0, lengthMax - ellipsis.length).replace(/[\ud800-\udbff]$/, "") + ellipsis;
};

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;
const isOpening = (text: string): boolean => text === "{" || text === "[";
const isClosing = (text: string): boolean => text === "}" || text === "]";

/**
 * Lays out JSON in lines. Only the white space between its tokens changes: numbers keep their digits, names that come twice
 * are there twice.
 *
 * @param lengthMax what is longer is cut, and says so in a line of its own
 */
export const layOut = (json: string, lengthMax: number): string => {
  let text = "";
  let depth = 0;
  let before = "";
  for (const [each] of json.matchAll(token)) {
    if (isClosing(each)) depth -= 1;
    const isEmpty = isOpening(before) && isClosing(each);
    if ((isClosing(each) || isOpening(before) || before === ",") && !isEmpty) text += `\n${"  ".repeat(depth)}`;
    text += each === ":" ? ": " : each;
    if (isOpening(each)) depth += 1;
    before = each;
    if (text.length > lengthMax) {
      const note = `\n(cut: the payload has ${json.length} characters)`;
      return cut(text, Math.max(lengthMax - note.length, 1)) + note;
    }
  }
  return text;
};

/** One line: line breaks and other control characters, which could forge another line, are spaces. */
const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();

/** The facts and listings that there are something to say of. */
const present = (pairs: readonly (readonly [string, string | number | null | undefined])[]): readonly Fact[] =>
  pairs.flatMap(([label, value]) =>
    value === null || value === undefined || value === "" ? [] : [[label, String(value)] as const],
  );
const factsOf = (...pairs: Parameters<typeof present>[0]): readonly Fact[] =>
  present(pairs).map(([label, value]) => [label, oneLine(value)]);

const readAlert = ({ topic, payload }: Message): Alert | undefined => {
  if (!topic.startsWith(alertTopicPrefix)) return undefined;
  return alertSchema.safeParse(JSON.parse(payload)).data;
};

const noticeOfAlert = (alert: Alert, message: Message): Notice => {
  const { destination, destination_type, last_error } = alert;
  const type = destination_type == null ? "" : ` (${destination_type})`;
  const error = [last_error?.code, last_error?.message].filter((part) => part != null && part !== "").join(": ");
  return {
    title: oneLine(alert.title),
    text: alert.text.trim(),
    facts: factsOf(
      ["Destination", destination == null ? undefined : `${destination}${type}`],
      ["Tenant", alert.tenant_id ?? message.tenantId],
      ["Since", alert.since],
      ["Count", alert.count],
      ["Last error", error],
      ["Remedy", last_error?.remedy],
      ["Topic", message.topic],
      ["Event", message.eventId],
    ),
    listings: present([
      ["Look", alert.look],
      ["Redrive", alert.redrive],
    ]),
    alert,
  };
};

/**
 * Reads an event for a person: an alert of ours if its topic and its payload say so, else any event.
 *
 * @param payloadLengthMax how much of a payload is shown, in UTF-16 code units
 */
export const noticeOf = (message: Message, payloadLengthMax: number): Notice => {
  const alert = readAlert(message);
  if (alert !== undefined) return noticeOfAlert(alert, message);
  const { topic, tenantId, occurredAt, key, eventId, payload } = message;
  return {
    title: oneLine(key === null ? topic : `${topic}: ${key}`),
    text: undefined,
    facts: factsOf(
      ["Topic", topic],
      ["Tenant", tenantId],
      ["Time", occurredAt.toISOString()],
      ["Key", key],
      ["Event", eventId],
    ),
    listings: [["Payload", layOut(payload, payloadLengthMax)]],
    alert: undefined,
  };
};

/** A notice as plain text. */
export const plainText = ({ title, text, facts, listings }: Notice): string =>
  [
    title,
    ...(text === undefined || text === "" ? [] : [text]),
    facts.map(([label, value]) => `${label}: ${value}`).join("\n"),
    ...listings.map(([label, listing]) => `${label}:\n${listing}`),
  ].join("\n\n");
