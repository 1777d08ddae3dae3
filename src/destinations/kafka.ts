/** Apache Kafka: one topic, an idempotent producer that waits for all in-sync replicas, keys placed as the Java client does. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { z } from "zod";
import { type ConnectContext, defineDestination, type Message, type Outcome } from "../destination.ts";
import { isReservedHeader } from "../headers.ts";
import { DialError } from "../outbound.ts";
import { dead, outcomeOfDialError, retry, tooLarge } from "../outcome.ts";
import { createKafkaClient, type KafkaClient, loneBatchBytes } from "../protocols/kafka-client.ts";
import { KafkaError, type KafkaRecord } from "../protocols/kafka-session.ts";
import { bodyField, render, sourceField } from "../rendering.ts";

const pemPattern = /^-----BEGIN CERTIFICATE-----/;

const config = z.strictObject({
  brokers: z
    .array(
      z
        .string()
        .max(260)
        .regex(/^[A-Za-z0-9._-]+:[0-9]{1,5}$/),
    )
    .min(1)
    .max(10)
    .meta({ title: "Brokers", description: "host:port of the brokers to ask first; they tell of the others" }),
  topic: z
    .string()
    .max(249)
    .regex(/^[A-Za-z0-9._-]+$/)
    .meta({ title: "Topic", description: "It must exist: topics are not created" }),
  key: z.enum(["event_key", "event_id"]).default("event_key").meta({
    title: "Record key",
    description: "event_key: the event's key, or its id when it has none; event_id: always its id",
  }),
  body: bodyField,
  source: sourceField,
  compression: z.enum(["none", "gzip"]).default("none").meta({ title: "Compression" }),
  message_bytes_max: z.int().min(1024).max(104_857_600).default(1_048_588).meta({
    title: "Message size limit",
    description: "max.message.bytes of the topic: larger messages are not sent. Bytes; default as in Kafka",
  }),
  tls: z.boolean().default(true).meta({ title: "TLS", description: "Encrypt connections and verify the brokers" }),
  ca: z.string().max(65_536).regex(pemPattern).optional().meta({
    title: "Certificate authorities",
    description: "PEM, trusted instead of the public ones",
  }),
  cert: z.string().max(65_536).regex(pemPattern).optional().meta({
    title: "Client certificate",
    description: "PEM, for brokers that ask for one; its key is the secret client_key",
  }),
  sasl: z.enum(["none", "plain", "scram-sha-256", "scram-sha-512"]).default("none").meta({
    title: "SASL mechanism",
    description: "How to sign in with the secrets username and password",
  }),
});

const secrets = z.strictObject({
  username: z.string().min(1).max(256).optional().meta({ title: "User name" }),
  password: z.string().min(1).max(1024).optional().meta({ title: "Password" }),
  client_key: z
    .string()
    .max(16_384)
    .regex(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/)
    .optional()
    .meta({ title: "Client key", description: "PEM, of the client certificate" }),
});

type Config = z.infer<typeof config>;

interface Client {
  readonly kafka: KafkaClient | undefined;
  /** Why nothing can be sent as the destination is configured. */
  readonly problem: string | undefined;
}

const outcomesByCode: Readonly<Record<string, Outcome>> = {
  ...Object.fromEntries(
    [
      "LEADER_NOT_AVAILABLE",
      "NOT_LEADER_FOR_PARTITION",
      "BROKER_NOT_AVAILABLE",
      "REPLICA_NOT_AVAILABLE",
      "NOT_ENOUGH_REPLICAS",
      "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
      "KAFKA_STORAGE_ERROR",
      "NOT_CONTROLLER",
      "GROUP_LOAD_IN_PROGRESS",
      "GROUP_COORDINATOR_NOT_AVAILABLE",
    ].map((code) => [code, retry("unavailable", `the broker cannot take records now: ${code}`)]),
  ),
  ...Object.fromEntries(
    [
      "SASL_AUTHENTICATION_FAILED",
      "UNSUPPORTED_SASL_MECHANISM",
      "ILLEGAL_SASL_STATE",
      "TOPIC_AUTHORIZATION_FAILED",
      "CLUSTER_AUTHORIZATION_FAILED",
      "SECURITY_DISABLED",
    ].map((code) => [code, retry("auth_failed", `the broker refuses: ${code}`)]),
  ),
  KafkaJSSASLAuthenticationError: retry("auth_failed", "the broker refuses the SASL mechanism, user name or password"),
  UNKNOWN_TOPIC_OR_PARTITION: retry("not_found", "the topic does not exist, or this user may not see it"),
  REQUEST_TIMED_OUT: retry("timeout", "the replicas did not confirm in time"),
  MESSAGE_TOO_LARGE: dead("too_large", "the message is larger than the topic takes (max.message.bytes)"),
  RECORD_LIST_TOO_LARGE: dead("too_large", "the message is larger than a segment of the topic"),
  INVALID_RECORD: dead("rejected", "the broker does not accept the record for this topic"),
  INVALID_TIMESTAMP: dead("rejected", "the broker does not accept the event's time for this topic"),
  INVALID_TOPIC_EXCEPTION: dead("config_invalid", "the broker does not accept the topic's name"),
  POLICY_VIOLATION: dead("rejected", "the broker's policy forbids the record"),
  KafkaJSMetadataNotLoaded: retry("unavailable", "the brokers know no partitions of the topic"),
  KafkaJSBrokerNotFound: retry("unavailable", "no broker leads the partition"),
};

const outcomeOfError = (error: Error): Outcome => {
  if (error instanceof DialError) return outcomeOfDialError(error);
  const code = error instanceof KafkaError ? error.code : "";
  // Names of the protocol are told, those of the library are not.
  const word = /^(?!KAFKAJS)[A-Z][A-Z_]+$/.test(code) ? `: ${code}` : "";
  return outcomesByCode[code] ?? retry("protocol", `the broker's answer is not what was expected${word}`);
};

const ourNames = ["id", "topic", "tenant", "traceparent", "content-type"];

/** The event's own headers, without names that are ours. */
const eventHeaders = (headers: Message["headers"]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers ?? {}).filter(([name]) => {
      const lower = name.toLowerCase();
      return !isReservedHeader(lower) && !lower.startsWith("ce_") && !ourNames.includes(lower);
    }),
  );

/** CloudEvents Kafka binding 3.2: attributes are headers `ce_`, in both modes `content-type` is one. */
const toRecord = (message: Message, config: Config): KafkaRecord => {
  const { body, contentType, attributes } = render(message, config.body, config.source);
  const { eventId, topic, tenantId, traceparent } = message;
  return {
    key: config.key === "event_key" ? (message.key ?? eventId) : eventId,
    value: body,
    headers: {
      ...eventHeaders(message.headers),
      "content-type": contentType,
      ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value])),
      id: eventId,
      topic,
      tenant: tenantId,
      ...(traceparent !== null && { traceparent }),
    },
    // Kafka knows no time before 1970.
    timestamp: String(Math.max(0, message.occurredAt.getTime())),
  };
};

/** Whether something holds; what throws does not. */
const isTrue = (read: () => boolean): boolean => {
  try {
    return read();
  } catch {
    return false;
  }
};

/** TLS takes a chain for a certificate, and passes over an authority that it cannot read. */
const isCertificate = (pem: string): boolean =>
  isTrue(() => new X509Certificate(pem).raw.length > 0 && createSecureContext({ cert: pem }) !== undefined);

const problemOfConfig = ({ brokers, topic, tls, ca, cert }: Config): string | undefined => {
  const index = brokers.findIndex((broker) => {
    const port = Number(broker.split(":")[1]);
    return port === 0 || port > 65_535 || !URL.canParse(`kafka://${broker}`);
  });
  if (index >= 0) return `config.brokers.${index}: is not host:port`;
  if (topic === "." || topic === "..") return "config.topic: is not a name";
  for (const [name, pem] of Object.entries({ ca, cert })) {
    if (pem === undefined) continue;
    if (!tls) return `config.${name}: needs tls`;
    if (!isCertificate(pem)) return `config.${name}: is not a certificate in PEM`;
  }
  return undefined;
};

/** What is missing or wrong among the secrets. */
const problemOfSecrets = ({ config, secrets }: ConnectContext<Config>): string | undefined => {
  const missing = (name: string): string => `the secret ${name} is missing: give it with outbox.update_destination`;
  if (config.sasl !== "none") {
    for (const name of ["username", "password"]) if (secrets[name]?.[0] === undefined) return missing(name);
  }
  const { cert } = config;
  if (cert === undefined) return undefined;
  const key = secrets.client_key?.[0];
  if (key === undefined) return missing("client_key");
  return isTrue(() => new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    ? undefined
    : "the secret client_key is not the key of cert";
};

const connect = (context: ConnectContext<Config>): Client => {
  const { config, secrets, dialler } = context;
  const problem = problemOfSecrets(context);
  if (problem !== undefined) return { kafka: undefined, problem };
  const { brokers, topic, ca, cert, sasl } = config;
  const { username: usernames = [], password: passwords = [], client_key: [key] = [] } = secrets;
  // During a rotation either may have an older value, or both.
  const logins = Array.from({ length: Math.max(usernames.length, passwords.length) }, (_, n) => ({
    username: usernames[Math.min(n, usernames.length - 1)] ?? "",
    password: passwords[Math.min(n, passwords.length - 1)] ?? "",
  }));
  const kafka = createKafkaClient({
    brokers,
    topic,
    gzip: config.compression === "gzip",
    batchBytesMax: config.message_bytes_max,
    tls: config.tls && { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert, key }) },
    logins: sasl === "none" ? [] : logins.map((login) => ({ mechanism: sasl, ...login })),
    dialler,
  });
  return { kafka, problem };
};

/** Messages as records, in one go for each partition; a message that cannot fit is not sent with the others. */
export const destination = defineDestination<Config, Client>({
  type: "kafka",
  label: "Apache Kafka",
  config,
  secrets,
  addresses: ({ brokers }) => brokers.map((broker) => new URL(`kafka://${broker}`)),
  check: problemOfConfig,
  connect,
  disconnect: ({ kafka }) => kafka?.close(),
  batchSizeMax: 500,
  deliverBatch: async (messages, { config, client, signal }) => {
    const { kafka, problem = "the destination is not configured" } = client;
    if (kafka === undefined) return messages.map(() => dead("config_invalid", problem));
    const { message_bytes_max: bytesMax } = config;
    const records = messages.map((message) => toRecord(message, config));
    const sizes = records.map(loneBatchBytes);
    const fitting = records.filter((_, n) => (sizes[n] as number) <= bytesMax);
    const answers = await kafka.send(fitting, signal);
    const answerOf = new Map(fitting.map((record, n) => [record, answers[n]]));
    return records.map((record, n): Outcome => {
      const answer = answerOf.get(record);
      if (answer === undefined) return tooLarge(sizes[n] as number, bytesMax, "the message as a Kafka record");
      if (answer instanceof Error) return outcomeOfError(answer);
      const headers = { partition: String(answer.partition), offset: String(answer.offset) };
      return { kind: "delivered", response: { headers } };
    });
  },
});
