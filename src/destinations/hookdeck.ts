/**
 * A source of Hookdeck's Event Gateway (https://hookdeck.com/docs/sources): the payload by POST, CloudEvents attributes in
 * headers, and an HMAC of the body that Hookdeck verifies before it takes the event.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { type DeliverContext, defineDestination, type Message } from "../destination.ts";
import { DialError, type HttpPool } from "../outbound.ts";
import { dead, outcomeOfDialError, outcomeOfResponse } from "../outcome.ts";
import { eventHeaders, headersOfAttributes, hmac, httpConnectionsMax, userAgent } from "../protocols/http-message.ts";
import { render, sourceField } from "../rendering.ts";

const config = z.strictObject({
  source_url: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+([/?][^#]*)?$/)
    .meta({ title: "Source URL", description: "As Hookdeck shows it: https://hkdk.events/ and the id of the source" }),
  source: sourceField,
});

const secrets = z.strictObject({
  token: z
    .string()
    .min(8)
    .max(1024)
    .regex(/^[A-Za-z0-9+/]+={0,2}$/)
    .optional()
    .meta({ title: "Token", description: "Of a managed source, in base64: signs as v0= and base64" }),
  signing_secret: z.string().min(8).max(256).optional().meta({
    title: "Signing secret",
    description: "Of a source with HMAC authentication: SHA-256, base64, in x-hookdeck-signature",
  }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, Client>;
interface Client {
  readonly pool: HttpPool;
  readonly path: string;
}

const keyOf = (secret: string | undefined): KeyObject | undefined =>
  secret === undefined ? undefined : createSecretKey(secret, "utf8");

/** Hookdeck knows one secret at a time, so the newest signs; of the two kinds the token, which names its source. */
const signatureOf = (body: string, { token = [], signing_secret = [] }: Context["secrets"]): string | undefined => {
  const managed = keyOf(token[0]);
  if (managed !== undefined) return `v0=${hmac(managed, body, "base64")}`;
  const own = keyOf(signing_secret[0]);
  return own && hmac(own, body, "base64");
};

const headersOf = (message: Message, attributes: Readonly<Record<string, string>>, signature: string) => ({
  "user-agent": userAgent,
  ...eventHeaders(message),
  ...(message.traceparent !== null && { traceparent: message.traceparent }),
  "content-type": "application/json",
  "webhook-id": message.eventId,
  ...headersOfAttributes(attributes),
  "x-hookdeck-signature": signature,
});

/** One request for each event; the answer's status decides, as for webhooks. */
export const destination = defineDestination<Config, Client>({
  type: "hookdeck",
  label: "Hookdeck Event Gateway",
  config,
  secrets,
  addresses: ({ source_url }) => [new URL(source_url)],
  check: ({ source_url }) => (URL.canParse(source_url) ? undefined : "config.source_url: is not a URL"),
  connect: ({ config, dialler }) => {
    const url = new URL(config.source_url);
    return { pool: dialler.pool(url, { connections: httpConnectionsMax }), path: url.pathname + url.search };
  },
  disconnect: ({ pool }) => pool.close(),
  deliver: async (message, { config, client, secrets, dialler, signal, deadStatuses, now }) => {
    const { body, attributes } = render(message, "cloudevents_binary", config.source);
    const signature = signatureOf(body, secrets);
    if (signature === undefined) {
      return dead("config_invalid", "there is no token and no signing_secret: give one with outbox.update_destination");
    }
    const headers = headersOf(message, attributes, signature);
    try {
      const answer = await dialler.request(client.pool, { method: "POST", path: client.path, headers, body, signal });
      return outcomeOfResponse(answer, deadStatuses, now);
    } catch (error) {
      if (error instanceof DialError) return outcomeOfDialError(error);
      throw error;
    }
  },
});
