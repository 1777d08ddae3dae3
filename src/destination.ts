/**
 * The contract of a destination type. A file in `destinations/` is all that a type needs: what it is called, which
 * config and secrets it takes, and how it delivers one message. Destination types know this file, `outbound`, `errors`,
 * zod and their own SDK; they know neither the database nor the logger.
 */
import type { z } from "zod";
import type { Dialler } from "./outbound.ts";

/** One event on its way to one subscription: what a destination type turns into a request of its protocol. */
export interface Message {
  readonly eventId: string;
  readonly subscriptionId: string;
  readonly tenantId: string;
  readonly topic: string;
  /** The payload exactly as the producer inserted it: JSON text, never parsed and written again. */
  readonly payload: string;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly traceparent: string | null;
  readonly occurredAt: Date;
  /** 1 for the first attempt of this delivery. */
  readonly attempt: number;
}

/** What came back, as far as it is worth keeping: already cut and free of text that Postgres refuses. */
export interface ResponseRecord {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Why a delivery failed: a stable word that people filter, count and redrive by. */
export const failureCodes = [
  "http_status",
  "gone",
  "expired",
  "redirect",
  "dns",
  "connect",
  "tls",
  "timeout",
  "reset",
  "protocol",
  "auth_failed",
  "not_found",
  "throttled",
  "unavailable",
  "too_large",
  "rejected",
  "unroutable",
  "nacked",
  "blocked_address",
  "config_invalid",
  "secret_unavailable",
  "worker_lost",
  "poison",
  "shutdown",
  "internal",
] as const;
export type FailureCode = (typeof failureCodes)[number];

/** How one attempt ended. A destination type returns an outcome whatever the world does to it; it throws only on bugs. */
export type Outcome =
  | { readonly kind: "delivered"; readonly response?: ResponseRecord }
  | {
      readonly kind: "retry";
      readonly code: FailureCode;
      readonly reason: string;
      /** The destination's own wish (`Retry-After`), in milliseconds from now, already clamped. */
      readonly retryAfterMs?: number;
      /** The fault is on our side (our resolver, our sockets): it does not count against the destination. */
      readonly ours?: boolean;
      readonly response?: ResponseRecord;
    }
  | {
      readonly kind: "dead";
      readonly code: FailureCode;
      readonly reason: string;
      /** The destination asked to be left alone: it is disabled, later events are held for it. */
      readonly disable?: boolean;
      readonly response?: ResponseRecord;
    };

/** What a destination type gets besides the message. */
export interface DeliverContext<Config, Client> {
  readonly config: Config;
  readonly client: Client;
  /** The valid values of each secret, newest first: several during a rotation. */
  readonly secrets: Readonly<Record<string, readonly string[]>>;
  readonly dialler: Dialler;
  /** Answers that are final by the destination's policy. */
  readonly deadStatuses: readonly number[];
  /** Aborts at the deadline of the attempt, and when the worker must stop at once. */
  readonly signal: AbortSignal;
  /** The time of this attempt. */
  readonly now: Date;
}

/** What the operator allows destinations to use of the worker itself. */
export interface OperatorPolicy {
  /** Destinations may name a cloud role that the worker takes on with its own credentials. */
  readonly allowAssumeRole: boolean;
}

/** What `connect` may use to reach the world. A changed config or secret is a new version, and connected to anew. */
export interface ConnectContext<Config> {
  readonly tenantId: string;
  readonly config: Config;
  /** The valid values of each secret, newest first. */
  readonly secrets: Readonly<Record<string, readonly string[]>>;
  readonly dialler: Dialler;
  readonly operator: OperatorPolicy;
}

interface AnyDestination<Config, Client> {
  /** The word in `outbox.destinations.type`: lower case, as the file is called. */
  readonly type: string;
  /** What people read in lists and forms. */
  readonly label: string;
  /** Shape of `destinations.config`. Reaches SQL as JSON Schema. */
  readonly config: z.ZodType<Config>;
  /** Shape of the secrets: an object of strings. Reaches SQL as JSON Schema. */
  readonly secrets: z.ZodType<Record<string, string | undefined>>;
  /** Every network address that the config names, so that creation can refuse a forbidden one. */
  readonly addresses: (config: Config) => readonly URL[];
  /** What the schema cannot say: a sentence about what is wrong with the config, or undefined. */
  readonly check?: (config: Config) => string | undefined;
  readonly connect: (context: ConnectContext<Config>) => Client | Promise<Client>;
  readonly disconnect: (client: Client) => void | Promise<void>;
}

/** A type whose protocol takes one message at a time, or as many side by side as there are. */
export interface SingleDestination<Config, Client> extends AnyDestination<Config, Client> {
  readonly deliver: (message: Message, context: DeliverContext<Config, Client>) => Promise<Outcome>;
  readonly deliverBatch?: never;
}

/** A type whose protocol takes several messages in one request. Messages are given as they come: none waits for others. */
export interface BatchDestination<Config, Client> extends AnyDestination<Config, Client> {
  /** Messages of one call at most. */
  readonly batchSizeMax: number;
  /** Delivers messages of one destination, and returns an outcome for each, in their order. */
  readonly deliverBatch: (
    messages: readonly Message[],
    context: DeliverContext<Config, Client>,
  ) => Promise<readonly Outcome[]>;
  readonly deliver?: never;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of destination types holds types of every config and client
export type DestinationType<Config = any, Client = any> =
  | SingleDestination<Config, Client>
  | BatchDestination<Config, Client>;

/** Lets the compiler check a destination type while it infers its config and client. */
export const defineDestination = <Config, Client>(
  destination: DestinationType<Config, Client>,
): DestinationType<Config, Client> => Object.freeze(destination);
