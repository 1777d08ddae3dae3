/**
 * RabbitMQ, and other brokers of AMQP 0-9-1: persistent messages, published mandatory and with confirms. Delivered is what
 * the broker has confirmed and did not give back.
 */
import { createSecureContext } from "node:tls";
import { z } from "zod";
import {
  type ConnectContext,
  type DeliverContext,
  defineDestination,
  type Message,
  type Outcome,
} from "../destination.ts";
import { checkHeaders, isReservedHeader } from "../headers.ts";
import { DialError, type TlsOptions } from "../outbound.ts";
import { dead, outcomeOfDialError, retry, tooLarge } from "../outcome.ts";
import { AmqpClient, AmqpError, type AmqpLogin, type AmqpMessage, goingAwayCodes } from "../protocols/amqp.ts";
import { bodyField, type Rendered, render, sourceField } from "../rendering.ts";

const pemField = z
  .string()
  .max(65_536)
  .regex(/^-----BEGIN CERTIFICATE-----/)
  .optional();

const config = z.strictObject({
  host: z
    .string()
    .max(253)
    .regex(/^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$/)
    .meta({ title: "Host", description: "Name or address of the broker; IPv6 in brackets" }),
  port: z.int().min(1).max(65_535).optional().meta({ title: "Port", description: "Default 5671, without TLS 5672" }),
  tls: z.boolean().default(true).meta({ title: "TLS", description: "Without it, the password travels in the clear" }),
  ca: pemField.meta({ title: "CA certificates", description: "PEM; default: the authorities that Node.js trusts" }),
  client_cert: pemField.meta({ title: "Client certificate", description: "PEM; its key is the secret client_key" }),
  vhost: z.string().min(1).max(255).default("/").meta({ title: "Virtual host" }),
  exchange: z.string().max(255).meta({
    title: "Exchange",
    description: "Must exist; empty for the default exchange, where routing_key is the queue",
  }),
  routing_key: z.string().max(255).default("{topic}").meta({
    title: "Routing key",
    description: "Text with {topic}, {key} (empty when the event has none), {tenant_id}, {event_id}",
  }),
  body: bodyField,
  source: sourceField,
  headers: z
    .record(z.string(), z.string())
    .default({})
    .meta({ title: "Headers", description: "Sent with every message" }),
  message_bytes_max: z
    .int()
    .min(1)
    .max(536_870_912)
    .default(16_777_216)
    .meta({ title: "Message size", description: "Largest body in bytes, as the broker's max_message_size" }),
});

const secrets = z.strictObject({
  username: z.string().min(1).max(255).meta({ title: "User name" }),
  password: z.string().min(1).max(1_024).meta({ title: "Password" }),
  client_key: z
    .string()
    .max(65_536)
    .regex(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/)
    .optional()
    .meta({ title: "Client key", description: "PEM, not encrypted: the key of config.client_cert" }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, Client>;
interface Client {
  readonly amqp: AmqpClient;
  /** Why the config cannot be used, if so. */
  readonly problem: string | undefined;
}

const shortStringBytesMax = 255;

const fieldsOf = (message: Message): Readonly<Record<string, string>> => ({
  topic: message.topic,
  key: message.key ?? "",
  tenant_id: message.tenantId,
  event_id: message.eventId,
});
const placeholder = /\{(topic|key|tenant_id|event_id)\}/g;

const routingKeyOf = (template: string, message: Message): string => {
  const fields = fieldsOf(message);
  return template.replaceAll(placeholder, (_match, name: string) => fields[name] ?? "");
};

/** `CC` and `BCC` route to further queues (https://www.rabbitmq.com/docs/sender-selected): not for producers. */
const isOurs = (name: string): boolean => isReservedHeader(name) || /^(?:b?cc$|cloudevents[_:])/i.test(name);

const eventHeaders = (headers: Message["headers"]): Record<string, string> =>
  Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => !isOurs(name)));

/** CloudEvents AMQP binding 1.0.2, 3.1.3: the prefix with `_` is the preferred one. */
const headersOfAttributes = (attributes: Rendered["attributes"]): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`cloudEvents_${name}`, value]));

const headersOf = (message: Message, { headers }: Config, attributes: Rendered["attributes"]) => ({
  ...eventHeaders(message.headers),
  ...headers,
  tenant_id: message.tenantId,
  ...(message.key !== null && { key: message.key }),
  ...(message.traceparent !== null && { traceparent: message.traceparent }),
  ...headersOfAttributes(attributes),
});

const toAmqp = (message: Message, config: Config): AmqpMessage => {
  const { body, contentType, attributes } = render(message, config.body, config.source);
  return {
    exchange: config.exchange,
    routingKey: routingKeyOf(config.routing_key, message),
    properties: {
      contentType,
      headers: headersOf(message, config, attributes),
      messageId: message.eventId,
      timestamp: Math.floor(message.occurredAt.getTime() / 1_000),
      type: message.topic,
      appId: "postrider",
    },
    body: Buffer.from(body),
  };
};

/** What the protocol cannot carry: known before anything is sent. */
const limitOf = ({ routingKey, body }: AmqpMessage, { message_bytes_max }: Config): Outcome | undefined => {
  if (body.length > message_bytes_max) return tooLarge(body.length, message_bytes_max);
  const bytes = Buffer.byteLength(routingKey);
  if (bytes <= shortStringBytesMax) return undefined;
  return dead("rejected", `the routing key has ${bytes} bytes, and AMQP allows ${shortStringBytesMax}`);
};

const outcomeOfChannel = ({ replyCode, alone }: AmqpError, { exchange }: Config): Outcome => {
  if (replyCode === 404) return retry("not_found", `the exchange "${exchange}" does not exist (AMQP 404)`);
  if (replyCode === 403)
    return retry("auth_failed", `this user may not publish to the exchange "${exchange}" (AMQP 403)`);
  if (replyCode === 311 || replyCode === 406 || replyCode === 540) {
    const reason = `the broker refuses the message and closed the channel (AMQP ${replyCode})`;
    // With others under way it is not known whose fault it was.
    return alone ? dead(replyCode === 311 ? "too_large" : "rejected", reason) : retry("rejected", reason);
  }
  return retry("unavailable", `the broker closed the channel (AMQP ${replyCode})`);
};

const outcomeOfConnection = (replyCode: number): Outcome => {
  const reason = `the broker closed the connection (AMQP ${replyCode})`;
  if (replyCode === 403 || replyCode === 530) return retry("auth_failed", reason);
  return retry(goingAwayCodes.includes(replyCode) ? "unavailable" : "protocol", reason);
};

/** 0 is a broker that hangs up without a word. */
const outcomeOfLogin = (replyCode: number, { vhost }: Config): Outcome => {
  if (replyCode === 403 || replyCode === 0) {
    return retry("auth_failed", "the broker refuses this user name and password");
  }
  return replyCode === 530
    ? retry("not_found", `the virtual host "${vhost}" does not exist, or is closed to this user (AMQP 530)`)
    : outcomeOfConnection(replyCode);
};

const outcomeOfAmqpError = (error: AmqpError, config: Config): Outcome => {
  switch (error.failure) {
    case "login":
      return outcomeOfLogin(error.replyCode, config);
    case "channel":
      return outcomeOfChannel(error, config);
    case "connection":
      return outcomeOfConnection(error.replyCode);
    case "blocked":
      return retry("unavailable", "the broker blocks publishers: it is short of memory or disk");
    case "header_too_large":
      return dead("too_large", "the headers do not fit the broker's frame size");
  }
};

/** The newest pair first; during a rotation the older ones follow. */
const loginsOf = ({ config, secrets }: Context): readonly AmqpLogin[] => {
  const { username: names = [], password: passwords = [] } = secrets;
  const [newest = ""] = names;
  return passwords.map((password, n) => ({ virtualHost: config.vhost, username: names[n] ?? newest, password }));
};

const tlsOf = ({ config, secrets }: ConnectContext<Config>): TlsOptions | false => {
  const key = secrets.client_key?.[0];
  return config.tls && { ca: config.ca, cert: config.client_cert, key };
};

const tlsProblem = (tls: TlsOptions | false): string | undefined => {
  if (tls === false) return undefined;
  try {
    createSecureContext(tls);
    return undefined;
  } catch {
    return "config.ca, config.client_cert and the secret client_key do not fit together: give PEM certificates and their key";
  }
};

const problem = ({ host, vhost, exchange, routing_key, headers }: Config): string | undefined => {
  if (!URL.canParse(`amqp://${host}`)) return "config.host: is not a host name or address";
  if (Buffer.byteLength(vhost) > shortStringBytesMax) return "config.vhost: is longer than 255 bytes";
  if (Buffer.byteLength(exchange) > shortStringBytesMax) return "config.exchange: is longer than 255 bytes";
  if (/[{}]/.test(routing_key.replaceAll(placeholder, ""))) {
    return "config.routing_key: knows only {topic}, {key}, {tenant_id} and {event_id}";
  }
  const own = Object.keys(headers).find(isOurs);
  if (own !== undefined) return `config.headers.${own}: the name is reserved`;
  const verdict = checkHeaders(headers);
  return verdict.ok ? undefined : `config.headers.${verdict.name}: ${verdict.reason}`;
};

const portOf = ({ port, tls }: Config): number => port ?? (tls ? 5671 : 5672);

/** Messages are pipelined on one channel of one connection; each waits for its own confirmation. */
export const destination = defineDestination<Config, Client>({
  type: "rabbitmq",
  label: "RabbitMQ",
  config,
  secrets,
  addresses: (config) => [new URL(`${config.tls ? "amqps" : "amqp"}://${config.host}:${portOf(config)}`)],
  check: problem,
  connect: (context) => {
    const { config, dialler } = context;
    const tls = tlsOf(context);
    return {
      amqp: new AmqpClient(dialler, { host: config.host, port: portOf(config), tls }),
      problem: tlsProblem(tls),
    };
  },
  disconnect: ({ amqp }) => amqp.close(),
  deliver: async (message, context) => {
    const { config, client, signal } = context;
    if (client.problem !== undefined) return dead("config_invalid", client.problem);
    const published = toAmqp(message, config);
    const limit = limitOf(published, config);
    if (limit !== undefined) return limit;
    try {
      const confirmation = await client.amqp.publish(published, loginsOf(context), signal);
      if (confirmation === "acked") return { kind: "delivered" };
      return confirmation === "nacked"
        ? retry("nacked", "the broker refuses the message: a queue is full, or could not store it")
        : retry("unroutable", `no queue is bound to the exchange "${config.exchange}" for this routing key`);
    } catch (error) {
      if (error instanceof AmqpError) return outcomeOfAmqpError(error, config);
      if (error instanceof DialError) return outcomeOfDialError(error);
      throw error;
    }
  },
});
