/** A receiver that answers as PagerDuty's Events API v2 does, and holds events to what its documentation says. */
import type { Socket } from "node:net";
import { z } from "zod";
import { type Receiver, type Reply, startReceiver } from "./receiver.ts";

export const routingKey = "R0123456789ABCDEFGHIJKLMNOPQRSTU";

const eventBytesMax = 512 * 1024;
const payloadSchema = z.strictObject({
  summary: z.string().min(1).max(1_024),
  source: z.string().min(1),
  severity: z.enum(["critical", "error", "warning", "info"]),
  timestamp: z.iso.datetime().optional(),
  component: z.string().optional(),
  group: z.string().optional(),
  class: z.string().optional(),
  custom_details: z.record(z.string(), z.unknown()).optional(),
});
const common = {
  routing_key: z.string().length(32),
  client: z.string().optional(),
  payload: payloadSchema,
};
const eventSchema = z.discriminatedUnion("event_action", [
  z.strictObject({
    ...common,
    event_action: z.literal("trigger"),
    dedup_key: z.string().min(1).max(255).optional(),
  }),
  z.strictObject({ ...common, event_action: z.literal("resolve"), dedup_key: z.string().min(1).max(255) }),
]);

/** An event that PagerDuty takes. */
export type PagerDutyEvent = z.infer<typeof eventSchema>;

export interface PagerDutyServer extends AsyncDisposable {
  readonly receiver: Receiver;
  readonly url: string;
  /** The next event that it takes. */
  readonly next: () => Promise<PagerDutyEvent>;
  /** Connections that are open now. */
  readonly open: () => number;
}

const json = (status: number, body: object): Reply => ({
  status,
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" },
});
const invalid = (status: string, ...errors: readonly string[]): Reply =>
  json(400, { status, message: "Event object is invalid", errors });

const judge = (rawBody: Buffer): Reply | undefined => {
  if (rawBody.length > eventBytesMax) return { status: 413 };
  const { data, error } = eventSchema.safeParse(JSON.parse(rawBody.toString()));
  if (data === undefined) {
    return invalid("invalid event", ...error.issues.map(({ path, message }) => `'${path.join(".")}': ${message}`));
  }
  return data.routing_key === routingKey ? undefined : invalid("invalid key", "Invalid routing key");
};

/**
 * Starts on 127.0.0.1.
 *
 * @param answer instead of taking a good event
 */
export const startPagerDuty = async (answer?: () => Reply): Promise<PagerDutyServer> => {
  const sockets = new Set<Socket>();
  const receiver = await startReceiver({
    respond: ({ method, path, rawBody }, { socket }) => {
      if (socket !== null && !sockets.has(socket)) {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      }
      if (method !== "POST" || path !== "/v2/enqueue") return 404;
      const key = eventSchema.safeParse(JSON.parse(rawBody.toString())).data?.dedup_key;
      const taken = () => json(202, { status: "success", message: "Event processed", dedup_key: key });
      return judge(rawBody) ?? (answer ?? taken)();
    },
  });
  const read = ({ rawBody }: { readonly rawBody: Buffer }) => eventSchema.parse(JSON.parse(rawBody.toString()));
  return {
    receiver,
    url: `${receiver.url}/v2/enqueue`,
    next: async () => read(await receiver.next()),
    open: () => sockets.size,
    [Symbol.asyncDispose]: () => receiver.close(),
  };
};

/** What an event of PagerDuty's says of ours: the payload last, as it was inserted, before the braces of three objects. */
export const eventOfPagerDuty = (rawBody: Buffer) => {
  const text = rawBody.toString();
  const { custom_details: details = {} } = eventSchema.parse(JSON.parse(text)).payload;
  const start = '"Payload":';
  return {
    id: String(details.Event),
    topic: String(details.Topic),
    payload: text.slice(text.indexOf(start) + start.length, -"}}}".length),
  };
};
