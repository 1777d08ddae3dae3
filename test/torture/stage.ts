/**
 * The vocabulary of the torture: a {@link Stage} is everything that a run consists of, each part a real process: Postgres,
 * workers, producers, sinks, a name server, a broker, and lines between them that can be disturbed.
 */
import type { CanaryEntry, ProducerEntry, SinkEntry } from "./entries.ts";
import type { Random } from "./random.ts";

/** One of the promises that are checked. */
export const checkNames = [
  "loss",
  "limbo",
  "phantom",
  "duplicates",
  "evidence",
  "tenants",
  "forbidden",
  "secrets",
  "liveness",
  "bytes",
  "order",
] as const;
export type CheckName = (typeof checkNames)[number];

/** A promise that did not hold. */
export interface Violation {
  readonly check: CheckName;
  /** What was seen, with the ids to look for. */
  readonly what: string;
}

export type { CanaryEntry, IntendedEvent, ProducerEntry, SinkEntry } from "./entries.ts";

/** How a sink answers. */
export type Manner =
  | "well"
  /** 500. */
  | "failing"
  /** 429 with Retry-After: 1. */
  | "busy"
  /** After 300 to 1,500 ms. */
  | "slow"
  /** The answer comes when the deadline is over. */
  | "late"
  /** A header that never ends. */
  | "dripping"
  /** A body that never ends, after a 200. */
  | "endless"
  /** Never. */
  | "silent"
  /** The connection breaks before any answer. */
  | "resetting"
  /** Writes it down, then breaks the connection: it has the event, and nobody knows. */
  | "lying"
  /** 302 to a forbidden address. */
  | "redirecting"
  /** Bytes that are no HTTP. */
  | "garbage";

/** A receiver and the destination that delivers to it. */
export interface Sink {
  readonly name: string;
  readonly type: "webhook" | "rabbitmq";
  readonly tenant: string;
  /** Topic patterns of its subscription. */
  readonly topics: readonly string[];
  /** Events of a smaller amount are filtered out. */
  readonly amountMin?: number;
  readonly ordered: boolean;
  readonly destinationId: string;
  readonly subscriptionId: string;
  /** Where it listens; for https with a certificate of the stage's own authority. */
  readonly url: string;
}

/** What a sink is made of. */
export interface SinkOptions {
  readonly name: string;
  readonly type?: "webhook" | "rabbitmq";
  readonly tenant: string;
  readonly topics: readonly string[];
  readonly amountMin?: number;
  readonly ordered?: boolean;
  readonly https?: boolean;
  /** Over the policy of the stage (short delays, no end of attempts). */
  readonly policy?: Readonly<Record<string, unknown>>;
}

export interface Sinks {
  readonly all: readonly Sink[];
  /** Starts a receiver, makes its destination and subscription. */
  readonly add: (options: SinkOptions) => Promise<Sink>;
  /** Changes how a webhook sink answers, at once. */
  readonly behave: (name: string, manner: Manner) => Promise<void>;
  /** Tells a sink of a further secret that signs from now on. Before it is given to the database. */
  readonly trust: (name: string, secret: string) => Promise<void>;
  /** Ends the receiver's process with SIGKILL, and starts it again at the same address. */
  readonly kill: (name: string) => Promise<void>;
  readonly start: (name: string) => Promise<void>;
  /** Presents another certificate from now on (https): expired, of another host, of an unknown authority; `good` mends it. */
  readonly present: (
    name: string,
    certificate: "good" | "expired" | "other_host" | "unknown_authority",
  ) => Promise<void>;
  /** What all sinks have written down since the last call. */
  readonly read: () => readonly SinkEntry[];
}

/** How a producer inserts. */
export type Style = "single" | "rows" | "copy" | "deferred" | "savepoint" | "rollback" | "long";

export interface ProducersOptions {
  /** Processes. */
  readonly processes: number;
  readonly tenants: readonly string[];
  /** Events a second over all processes, at most. */
  readonly eventsPerSecond: number;
  /** Ends by itself after so many events were acknowledged. */
  readonly eventsMax: number;
  readonly styles: readonly Style[];
}

export interface Producers {
  /** Starts producers; they reconnect whatever happens, and insert what they do not know of again with its dedupe key. */
  readonly start: (options: ProducersOptions) => Promise<void>;
  /** Lets them finish what they do. */
  readonly stop: () => Promise<void>;
  /** How many events were acknowledged so far. */
  readonly acknowledged: () => number;
  readonly read: () => readonly ProducerEntry[];
  /** Inserts one event on a connection of its own, in the ledger as all others; resolves with its mark. Rejects when it was not committed. */
  readonly insert: (event: { tenant: string; topic: string; key?: string; amount?: number }) => Promise<string>;
}

/** A worker process, started from the packed package. */
export interface WorkerProcess {
  readonly name: string;
  readonly pid: number;
  readonly isAlive: boolean;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves when it has ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Everything it wrote. */
  readonly logFile: string;
}

export interface WorkerOptions {
  /** Default: through the stage's line to Postgres. */
  readonly databaseUrl?: string;
  /** Over the fleet's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Changes to the package's code, of this worker only. */
  readonly edits?: readonly Edit[];
  /** SIGKILL to itself at the nth crash point that it reaches, counted from 1. */
  readonly crashAt?: number;
}

/** A change to one file of the package as it is loaded: the text must occur exactly once. */
export interface Edit {
  /** Path below `dist/`, like `sender.js`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface Fleet {
  readonly workers: readonly WorkerProcess[];
  /** Starts a worker and waits until it has joined (with `crashAt`: until it has joined or ended). */
  readonly start: (options?: WorkerOptions) => Promise<WorkerProcess>;
  /** SIGTERM to all that live; SIGKILL after 20 s. */
  readonly stop: () => Promise<void>;
}

/** A private Postgres on a file system of its own, if the kernel lets it. */
export interface Cluster {
  /** Straight to the server, to the stage's database. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  readonly stop: (mode: "fast" | "immediate" | "kill") => Promise<void>;
  /** Starts it again on the same port, and waits until it accepts connections. */
  readonly start: () => Promise<void>;
  /** Leaves no room on its disk, until `free`; undefined where it has no disk of its own. */
  readonly fill: (() => Promise<void>) | undefined;
  readonly free: () => Promise<void>;
  /** Shifts the server's clock (libfaketime); undefined where it is not installed. */
  readonly shiftClock: ((seconds: number) => Promise<void>) | undefined;
}

/** A TCP proxy that can be disturbed. */
export interface Line {
  readonly port: number;
  /** Delays everything by so many milliseconds. */
  readonly delay: (ms: number) => void;
  /** Lets so many bytes a second through, per connection and direction. */
  readonly drip: (bytesPerSecond: number) => void;
  /** Takes what comes and brings nothing more, in either direction, on connections that are open: they are half-open. */
  readonly freeze: () => void;
  /** Loses what the server says, and resets the connection after the next answer is complete: it was done, or not? */
  readonly swallow: () => void;
  /** Resets all connections that are open. */
  readonly cut: () => void;
  /** Refuses new connections as well, until `heal`. */
  readonly refuse: () => Promise<void>;
  /** As if nothing had been. Connections that were frozen or swallowed are reset. */
  readonly heal: () => Promise<void>;
}

/** The name server that the workers ask. */
export interface Names {
  readonly address: string;
  /** Sets what a name answers from now on. */
  readonly set: (name: string, answer: NameAnswer) => void;
  readonly get: (name: string) => NameAnswer;
}
export type NameAnswer =
  | "nxdomain"
  | "refused"
  | "servfail"
  | "silent"
  | { readonly a?: readonly string[]; readonly aaaa?: readonly string[] };

/** A real RabbitMQ; the queue of a sink is drained by a process that writes the ledger. */
export interface Broker {
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly control: (...args: readonly string[]) => Promise<string>;
}

/** Asks the database, on connections of its own that never go over the line; tries again for as long as it is away. */
export interface Admin {
  readonly query: <Row = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;
}

export interface Stage extends AsyncDisposable {
  /** Ledgers and logs. */
  readonly folder: string;
  /** The installed package that the workers are started from. */
  readonly packageDir: string;
  /** Through the line, with the rights of the workers. */
  readonly databaseUrlOfWorkers: string;
  /** Whether every address is this machine's, so that the address guard is on as in production. */
  readonly isNetworkPrivate: boolean;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly admin: Admin;
  readonly fleet: Fleet;
  /** Between the workers and Postgres. */
  readonly line: Line;
  /** Between the producers and Postgres. */
  readonly producerLine: Line;
  readonly sinks: Sinks;
  readonly producers: Producers;
  readonly names: Names;
  /** Undefined where RabbitMQ is not installed. */
  readonly broker: Broker | undefined;
  /** Connections to forbidden addresses and requests at wrong certificates since the last call. */
  readonly canaries: () => readonly CanaryEntry[];
  /** Secrets that must be read nowhere. */
  readonly secrets: readonly string[];
}

/** One kind of fault. */
export interface Fault {
  readonly name: string;
  /** Faults of one lane never overlap; the lanes run side by side. */
  readonly lane: "database" | "fleet" | "edge";
  /** How often it is chosen, beside 1 for the others. */
  readonly weight?: number;
  /** Why it cannot be done here, if so. */
  readonly missing?: (stage: Stage) => string | undefined;
  /** Does it, and heals it. Resolves when everything is as before. */
  readonly strike: (stage: Stage, random: Random) => Promise<void>;
}
