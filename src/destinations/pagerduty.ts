/**
 * PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): an alert of ours that has ended
 * resolves what it triggered, everything else triggers.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type DeliverContext, defineDestination, type Message, type Outcome } from "../destination.ts";
import { cut, type Notice, noticeOf } from "../notice.ts";
import type { HttpPool, HttpResponse } from "../outbound.ts";
import { dead, retry } from "../outcome.ts";
import { postJson } from "../protocols/json-post.ts";

const config = z.strictObject({
  region: z.enum(["us", "eu"]).default("us").meta({ title: "Region", description: "Where the account is kept" }),
  url: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+([/?][^#]*)?$/)
    .optional()
    .meta({ title: "URL", description: "Of another service that takes the same events, instead of the region's" }),
  severity: z
    .enum(["info", "warning", "error", "critical"])
    .default("error")
    .meta({ title: "Severity", description: "Of events that do not say theirs, which only alerts of Postrider do" }),
});

const secrets = z.strictObject({
  routing_key: z
    .string()
    .regex(/^[A-Za-z0-9]{32}$/)
    .meta({ title: "Routing key", description: "Integration key of an Events API v2 integration: 32 characters" }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, Client>;
interface Client {
  readonly pool: HttpPool;
  readonly path: string;
}

const urls = {
  us: "https://events.pagerduty.com/v2/enqueue",
  eu: "https://events.eu.pagerduty.com/v2/enqueue",
} as const;
const urlOf = ({ region, url }: Config): URL => new URL(url ?? urls[region]);

/** Characters that PagerDuty takes: of a summary, and of a key. */
const summaryMax = 1_024;
const dedupKeyMax = 255;
/** 512 KiB for the event with all that is beside the payload. */
const payloadBytesMax = 480_000;
/** Of a larger payload the first part is shown: in JSON, a character of it takes up to three bytes. */
const shownMax = 100_000;

const dedupKeyOf = (key: string): string =>
  key.length <= dedupKeyMax ? key : createHash("sha256").update(key).digest("hex");

/** The payload as it was inserted, for rules that read its fields; one that is too large as text that is cut. */
const detailsOf = ({ facts, listings, alert }: Notice, { payload }: Message): string => {
  if (alert !== undefined) return JSON.stringify(Object.fromEntries([...facts, ...listings]));
  const isLarge = Buffer.byteLength(payload) > payloadBytesMax;
  const shown = isLarge ? JSON.stringify(Object.fromEntries(listings).Payload) : payload;
  return `${JSON.stringify(Object.fromEntries(facts)).slice(0, -1)},"Payload":${shown}}`;
};

const summaryOf = ({ title, text = "" }: Notice): string =>
  text === "" ? title : `${title}: ${text.replaceAll(/\s+/g, " ")}`;

const bodyOf = (message: Message, { severity }: Config, routing_key: string): string => {
  const notice = noticeOf(message, shownMax);
  const { alert } = notice;
  const event = {
    routing_key,
    event_action: alert?.state === "resolved" ? "resolve" : "trigger",
    dedup_key: dedupKeyOf(alert?.dedup_key ?? message.key ?? message.eventId),
    client: "Postrider",
  };
  const payload = {
    summary: cut(summaryOf(notice), summaryMax),
    source: alert?.destination ?? message.tenantId,
    severity: alert?.severity ?? severity,
    timestamp: message.occurredAt.toISOString(),
    component: alert?.destination_type ?? "event",
    group: message.tenantId,
    class: alert?.kind ?? message.topic,
  };
  const details = `${JSON.stringify(payload).slice(0, -1)},"custom_details":${detailsOf(notice, message)}}`;
  return `${JSON.stringify(event).slice(0, -1)},"payload":${details}}`;
};

const answerSchema = z.object({ status: z.string(), message: z.string(), errors: z.array(z.string()).catch([]) });

/** What is wrong, in PagerDuty's words. */
const complaintOf = (body: string): string => {
  try {
    const { status, message, errors } = answerSchema.parse(JSON.parse(body));
    return cut([status, message, ...errors].join("; "), 400);
  } catch {
    return "the service does not take this event";
  }
};

const meaningOf = ({ status, body }: HttpResponse): Outcome | undefined => {
  if (status === 429) return retry("throttled", "HTTP 429: more events than the service takes");
  if (status === 401 || status === 403) return retry("auth_failed", `HTTP ${status}: the routing key is refused`);
  if (status === 413) return dead("too_large", "HTTP 413: the event is larger than the service takes");
  if (status !== 400) return undefined;
  const complaint = complaintOf(body);
  // That is mended at the destination, and then the same event is taken.
  if (/routing.key|invalid key/i.test(complaint)) return retry("auth_failed", `HTTP 400: ${complaint}`);
  return dead("rejected", `HTTP 400: ${complaint}`);
};

const deliver = async (message: Message, context: Context): Promise<Outcome> => {
  const { config, client, secrets } = context;
  const [secret] = secrets.routing_key ?? [];
  if (secret === undefined) {
    return dead("config_invalid", "there is no routing_key: give one with outbox.update_destination(secrets => ...)");
  }
  return postJson({ ...client, body: bodyOf(message, config, secret), secret, meaning: meaningOf }, context);
};

/** One request for each event; PagerDuty makes one incident of all that share a key. */
export const destination = defineDestination<Config, Client>({
  type: "pagerduty",
  label: "PagerDuty",
  config,
  secrets,
  addresses: (config) => [urlOf(config)],
  check: ({ url }) => (url === undefined || URL.canParse(url) ? undefined : "config.url: is not a URL"),
  connect: ({ config, dialler }) => {
    const url = urlOf(config);
    return { pool: dialler.pool(url, { connections: 16 }), path: url.pathname + url.search };
  },
  disconnect: ({ pool }) => pool.close(),
  deliver,
});
