/**
 * HTTP webhooks, signed as Standard Webhooks says (https://www.standardwebhooks.com, specification 1.0.0), or with a plain
 * HMAC for receivers that know nothing better.
 */
import { createPrivateKey, createSecretKey, type KeyObject, sign } from "node:crypto";
import { z } from "zod";
import { type DeliverContext, defineDestination, type Message } from "../destination.ts";
import { checkHeaders, isReservedHeader } from "../headers.ts";
import { DialError, type HttpPool } from "../outbound.ts";
import { outcomeOfDialError, outcomeOfResponse } from "../outcome.ts";
import {
  eventHeaders,
  headersOfAttributes,
  hmac,
  httpConnectionsMax,
  lowerCaseNames,
  userAgent,
} from "../protocols/http-message.ts";
import { bodyField, render, sourceField } from "../rendering.ts";

const config = z.strictObject({
  url: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+([/?][^#]*)?$/)
    .meta({ title: "URL", description: "Where to send: https://, without user name, password or fragment" }),
  method: z.enum(["POST", "PUT"]).default("POST").meta({ title: "Method" }),
  body: bodyField,
  source: sourceField,
  signature: z.enum(["standard", "legacy"]).default("standard").meta({
    title: "Signature",
    description: "standard: Standard Webhooks; legacy: hex HMAC-SHA256 of the body with legacy_secret",
  }),
  signature_header: z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9-]+$/)
    .default("x-signature")
    .meta({
      title: "Signature header",
      description: "Name of the header of the legacy signature",
    }),
  headers: z
    .record(z.string(), z.string())
    .default({})
    .meta({ title: "Headers", description: "Sent with every request" }),
});

const secrets = z.strictObject({
  signing_secret: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/)
    .optional()
    .meta({
      title: "Signing secret",
      description: "whsec_ and 24 to 64 bytes in base64; made up when not given",
      generate: "whsec",
    }),
  signing_key: z
    .string()
    .regex(/^whsk_[A-Za-z0-9+/]{43,88}={0,2}$/)
    .optional()
    .meta({ title: "Signing key", description: "whsk_ and an ed25519 private key in base64: adds a v1a signature" }),
  legacy_secret: z
    .string()
    .min(8)
    .max(256)
    .optional()
    .meta({ title: "Legacy secret", description: "Key of the legacy signature" }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, Client>;
interface Client {
  readonly pool: HttpPool;
  readonly path: string;
  readonly configHeaders: Readonly<Record<string, string>>;
}

/** RFC 8410, section 7: what stands before the 32 bytes of an ed25519 private key in PKCS #8. */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

const privateKey = (text: string): KeyObject => {
  const seed = Buffer.from(text.slice("whsk_".length), "base64").subarray(0, 32);
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" });
};

interface SigningKeys {
  readonly v1: readonly KeyObject[];
  readonly v1a: readonly KeyObject[];
  readonly legacy: KeyObject | undefined;
}

const keysOfSecrets = new WeakMap<Context["secrets"], SigningKeys>();

/** The keys of a destination's valid secrets, newest first. Kept: making a key costs six times as much as signing. */
const signingKeys = (secrets: Context["secrets"]): SigningKeys => {
  const known = keysOfSecrets.get(secrets);
  if (known !== undefined) return known;
  const [legacy] = secrets.legacy_secret ?? [];
  const keys = {
    v1: (secrets.signing_secret ?? []).map((text) => createSecretKey(text.slice("whsec_".length), "base64")),
    v1a: (secrets.signing_key ?? []).map(privateKey),
    legacy: legacy === undefined ? undefined : createSecretKey(legacy, "utf8"),
  };
  keysOfSecrets.set(secrets, keys);
  return keys;
};

/** `v1` with each secret and `v1a` with each key, over `id.timestamp.body`. */
const standardSignature = (signed: string, { v1, v1a }: SigningKeys): string =>
  [
    ...v1.map((key) => `v1,${hmac(key, signed, "base64")}`),
    ...v1a.map((key) => `v1a,${sign(null, Buffer.from(signed), key).toString("base64")}`),
  ].join(" ");

const signatureHeaders = (message: Message, body: string, context: Context): Record<string, string> => {
  const { config, secrets, now } = context;
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const identity = { "webhook-id": message.eventId, "webhook-timestamp": timestamp };
  const keys = signingKeys(secrets);
  return config.signature === "legacy" && keys.legacy !== undefined
    ? { ...identity, [config.signature_header.toLowerCase()]: hmac(keys.legacy, body, "hex") }
    : { ...identity, "webhook-signature": standardSignature(`${message.eventId}.${timestamp}.${body}`, keys) };
};

const problem = ({ headers, url, signature_header }: Config): string | undefined => {
  if (!URL.canParse(url)) return "config.url: is not a URL";
  if (isReservedHeader(signature_header)) return "config.signature_header: the name is reserved";
  const verdict = checkHeaders(headers);
  return verdict.ok ? undefined : `config.headers.${verdict.name}: ${verdict.reason}`;
};

/** One request for each event; the answer's status decides. */
export const destination = defineDestination<Config, Client>({
  type: "webhook",
  label: "HTTP webhook",
  config,
  secrets,
  addresses: ({ url }) => [new URL(url)],
  check: problem,
  connect: ({ config, dialler }) => {
    const url = new URL(config.url);
    return {
      pool: dialler.pool(url, { connections: httpConnectionsMax }),
      path: url.pathname + url.search,
      configHeaders: lowerCaseNames(config.headers),
    };
  },
  disconnect: ({ pool }) => pool.close(),
  deliver: async (message, context) => {
    const { config, client, dialler, signal, deadStatuses, now } = context;
    if (config.signature === "legacy" && context.secrets.legacy_secret === undefined) {
      const reason =
        "signature is legacy, and there is no legacy_secret: give one with outbox.update_destination(secrets => ...)";
      return { kind: "dead", code: "config_invalid", reason };
    }
    const { body, contentType, attributes } = render(message, config.body, config.source);
    try {
      const answer = await dialler.request(client.pool, {
        method: config.method,
        path: client.path,
        headers: {
          "user-agent": userAgent,
          ...eventHeaders(message),
          ...client.configHeaders,
          ...(message.traceparent !== null && { traceparent: message.traceparent }),
          "content-type": contentType,
          ...headersOfAttributes(attributes),
          ...signatureHeaders(message, body, context),
        },
        body,
        signal,
      });
      return outcomeOfResponse(answer, deadStatuses, now);
    } catch (error) {
      if (error instanceof DialError) return outcomeOfDialError(error);
      throw error;
    }
  },
});
