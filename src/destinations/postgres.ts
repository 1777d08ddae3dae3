/**
 * The inbox in another Postgres (`postrider inbox install`): one insert for many events, and a second copy of an event has
 * no effect, whatever answer was lost.
 */
import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { type DeliverContext, defineDestination, type Message, type Outcome } from "../destination.ts";
import { DialError } from "../outbound.ts";
import { dead, outcomeOfDialError, retry } from "../outcome.ts";
import { isPlainAllowed } from "../protocols/plain-allowed.ts";
import {
  createPostgresPool,
  PostgresError,
  type PostgresLogin,
  type PostgresPool,
} from "../protocols/postgres-client.ts";
import { render, sourceField } from "../rendering.ts";

const config = z.strictObject({
  host: z
    .string()
    .max(253)
    .regex(/^[A-Za-z0-9_.:-]+$/)
    .meta({ title: "Host", description: "A name or an IP address" }),
  port: z.int().min(1).max(65_535).default(5432).meta({ title: "Port" }),
  database: z.string().min(1).max(63).meta({ title: "Database" }),
  tls: z.boolean().default(true).meta({
    title: "TLS",
    description: "The certificate is verified; false only where the operator allows plain text (POSTRIDER_ALLOW_HTTP)",
  }),
  ca: z
    .string()
    .max(65_536)
    .regex(/^-----BEGIN CERTIFICATE-----/)
    .optional()
    .meta({ title: "Authorities", description: "PEM certificates to trust instead of the public authorities" }),
  schema: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/)
    .default("outbox")
    .meta({ title: "Schema", description: "Where the table inbox is" }),
  source: sourceField,
});

const secrets = z.strictObject({
  username: z.string().min(1).max(63).meta({ title: "User name", description: "May insert into the inbox" }),
  password: z.string().min(1).max(1024).meta({ title: "Password" }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, PostgresPool>;

const batchSizeMax = 500;

/** Rows in the order of their key, so that two batches that share rows wait for each other and never in a circle. */
const insertInto = (schema: string): string => `
  insert into "${schema}".inbox (source, event_id, topic, key, payload, headers, occurred_at)
  select event.source, event.event_id, event.topic, event.key, event.payload::json, event.headers::jsonb, event.occurred_at
  from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    as event (source, event_id, topic, key, payload, headers, occurred_at)
  order by event.source, event.event_id
  on conflict (source, event_id) do nothing`;

const headersOf = ({ headers, traceparent }: Message): string =>
  JSON.stringify({ ...headers, ...(traceparent !== null && { traceparent }) });

const columnsOf = (messages: readonly Message[], source: string | undefined): readonly unknown[] => [
  messages.map((message) => render(message, "cloudevents_binary", source).attributes.source),
  messages.map(({ eventId }) => eventId),
  messages.map(({ topic }) => topic),
  messages.map(({ key }) => key),
  messages.map(({ payload }) => payload),
  messages.map(headersOf),
  messages.map(({ occurredAt }) => occurredAt.toISOString()),
];

/** The valid logins, newest first; while the password is changed both are tried. */
const loginsOf = ({ username = [], password = [] }: Context["secrets"]): readonly PostgresLogin[] =>
  password.flatMap((each, n) => {
    const user = username[n] ?? username[0];
    return user === undefined ? [] : [{ user, password: each }];
  });

const noInbox = "there is no table inbox like ours in this database and schema: run postrider inbox install there";

/** What a SQLSTATE means, the first that fits. Classes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const outcomes: readonly (readonly [pattern: RegExp, outcome: (told: string) => Outcome])[] = [
  [/^28/, (told) => retry("auth_failed", `the server refuses the login (${told})`)],
  [/^42501/, (told) => retry("auth_failed", `the user may not insert into the inbox (${told})`)],
  [/^(3D000|3F000|42P01|42703|42804|42P10)/, (told) => retry("not_found", `${noInbox} (${told})`)],
  [/^57014/, (told) => retry("timeout", `the server broke the insert off (${told})`)],
  [/^54/, (told) => dead("too_large", `the event is larger than the server takes (${told})`)],
  [/^(22|23|P0)/, (told) => dead("rejected", `the inbox refuses the event (${told})`)],
  [/./, (told) => retry("unavailable", `the server cannot insert now (${told})`)],
];

const outcomeOf = (error: unknown): Outcome => {
  if (error instanceof DialError) return outcomeOfDialError(error);
  if (!(error instanceof PostgresError)) throw error;
  const [, outcome] = outcomes.find(([pattern]) => pattern.test(error.sqlstate)) ?? [];
  return outcome?.(error.message) ?? retry("unavailable", error.message);
};

/** One statement for all; when the server refuses something in it, halves, until only the bad events are refused. */
const insert = async (messages: readonly Message[], context: Context): Promise<readonly Outcome[]> => {
  const { client, config, secrets, signal } = context;
  try {
    await client.run(insertInto(config.schema), columnsOf(messages, config.source), loginsOf(secrets), signal);
    return messages.map(() => ({ kind: "delivered" }));
  } catch (error) {
    const outcome = outcomeOf(error);
    if (outcome.kind !== "dead" || !(error instanceof PostgresError) || messages.length === 1) {
      return messages.map(() => outcome);
    }
    const middle = Math.ceil(messages.length / 2);
    const first = await insert(messages.slice(0, middle), context);
    return [...first, ...(await insert(messages.slice(middle), context))];
  }
};

const urlOf = ({ host, port }: Config): string => `postgres://${host.includes(":") ? `[${host}]` : host}:${port}`;

const isCertificate = (pem: string): boolean => {
  try {
    return new X509Certificate(pem).ca !== undefined;
  } catch {
    return false;
  }
};

const problem = (config: Config): string | undefined => {
  if (!URL.canParse(urlOf(config))) return "config.host: is neither a name nor an IP address";
  if (config.ca !== undefined && !isCertificate(config.ca)) return "config.ca: is not a certificate in PEM";
  return undefined;
};

/** An insert for as many events as there are; the inbox keeps each once. */
export const destination = defineDestination<Config, PostgresPool>({
  type: "postgres",
  label: "Postgres inbox",
  config,
  secrets,
  addresses: (config) => [new URL(urlOf(config))],
  check: problem,
  connect: ({ config, dialler }) => createPostgresPool(config, dialler),
  disconnect: (pool) => pool.close(),
  batchSizeMax,
  deliverBatch: async (messages, context) => {
    const { config, dialler, secrets } = context;
    if (loginsOf(secrets).length === 0) {
      const reason = "there is no username or no password: give them with outbox.update_destination(secrets => ...)";
      return messages.map(() => dead("config_invalid", reason));
    }
    if (!config.tls && !isPlainAllowed(dialler)) {
      const reason = "tls is false, and only an operator can allow plain text (POSTRIDER_ALLOW_HTTP)";
      return messages.map(() => dead("config_invalid", reason));
    }
    return insert(messages, context);
  },
});
