/**
 * One idempotent Kafka producer with its connections, each of them dialled by us. kafkajs winds a partition's sequence
 * back after an error, although the broker may hold the records: it would then take the next, different ones for a
 * repetition, and drop them. So a session sends one batch for a partition at a time, and is never used again for a
 * partition after an error that leaves that open.
 */
import type { ICustomPartitioner, Kafka, KafkaConfig, PartitionMetadata, Producer, SASLOptions } from "kafkajs";
import { DialError } from "../dial-error.ts";
import type { Dialler, TlsOptions } from "../outbound.ts";
import { createFrameCheck } from "./kafka-frames.ts";
import { calmTimers } from "./kafka-timers.ts";
import { LazySocket } from "./lazy-socket.ts";

/** How to reach a topic. */
export interface KafkaOptions {
  /** `host:port` each; the first that answers tells of all others. */
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly gzip: boolean;
  readonly tls: TlsOptions | false;
  /** Tried in turn while the brokers refuse them; none to not sign in. */
  readonly logins: readonly SASLOptions[];
  /** Of a batch of records for one partition, uncompressed. */
  readonly batchBytesMax: number;
  readonly dialler: Dialler;
}

/** A record ready to be sent. */
export interface KafkaRecord {
  readonly key: string;
  readonly value: string;
  readonly headers: Record<string, string>;
  /** Milliseconds since 1970. */
  readonly timestamp: string;
}

/** Why records were not taken: the protocol's name of the error (`NOT_ENOUGH_REPLICAS`), or the class of kafkajs. */
export class KafkaError extends Error {
  override readonly name = "KafkaError";
  readonly code: string;

  constructor(code: string, cause: unknown) {
    super(code, { cause });
    this.code = code;
  }
}

/** A producer that is connected, or on its way. */
export interface KafkaSession {
  /** The partition of each key, once connected. @throws DialError, KafkaError */
  readonly partitioner: () => Promise<(key: string) => number>;
  /**
   * Sends records of one partition, in one batch, and returns the offset of the first.
   * @throws DialError, KafkaError
   */
  readonly send: (partition: number, records: readonly KafkaRecord[]) => Promise<bigint>;
  /** Cuts all connections; what is under way fails. Resolves when they are closed. */
  readonly destroy: () => Promise<void>;
}

/** Above what the dialler and our deadlines take: these are for what they miss. */
const connectionTimeoutMs = 20_000;
const requestTimeoutMs = 30_000;
/** A batch whose answer was cut off is sent again at once, with the same sequence: the broker keeps one copy. */
const producerRetry = { retries: 2, initialRetryTime: 50, maxRetryTime: 500 };

/** The error below those that kafkajs wraps around it. */
const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.name.startsWith("KafkaJS") && error.cause instanceof Error && error.cause !== error
    ? rootOf(error.cause)
    : error;

const wordsOf = (error: unknown): { readonly name: string; readonly type?: string; readonly broker?: string } =>
  error as never;

const isOfConnection = new Set(["KafkaJSConnectionError", "KafkaJSConnectionClosedError"]);
const isOfTime = new Set(["KafkaJSRequestTimeoutError", "KafkaJSTimeout", "KafkaJSLockTimeout"]);

/** What kafkajs threw, by its class and type; what our sockets met comes first. */
const readError = (error: unknown, met: ReadonlyMap<string, DialError>): DialError | KafkaError => {
  const root = rootOf(error);
  if (root instanceof DialError) return root;
  const { name, type, broker } = wordsOf(root);
  if (isOfConnection.has(name)) {
    return met.get(broker ?? "") ?? new DialError("reset", "the broker closed the connection", { cause: root });
  }
  if (isOfTime.has(name)) return new DialError("timeout", "the broker did not answer", { cause: root });
  return new KafkaError(type ?? name, root);
};

/** kafkajs tells only its partitioner which partitions there are: this record makes it ask, and is never sent. */
const probe = Object.freeze({ key: "", value: "" });
class ProbeAnswered extends Error {}

const createKafka = async (
  { brokers, tls, dialler }: KafkaOptions,
  login: SASLOptions | undefined,
  signal: AbortSignal,
  { sockets, met }: { readonly sockets: Set<LazySocket>; readonly met: Map<string, DialError> },
): Promise<Kafka> => {
  const { Kafka, logLevel } = await import("kafkajs");
  const kafka = new Kafka({
    clientId: "postrider",
    brokers: [...brokers],
    // The authenticator is kept in this object.
    ...(login !== undefined && { sasl: { ...login } }),
    connectionTimeout: connectionTimeoutMs,
    requestTimeout: requestTimeoutMs,
    retry: { retries: brokers.length - 1, initialRetryTime: 10, maxRetryTime: 100 },
    logLevel: logLevel.NOTHING,
    logCreator: () => () => {},
    socketFactory: ({ host, port, onConnect }) => {
      const socket = new LazySocket(() => dialler.socket(host, port, { tls, signal }), createFrameCheck());
      sockets.add(socket);
      socket.once("connect", onConnect);
      socket.once("close", () => sockets.delete(socket));
      socket.once("error", (error) => error instanceof DialError && met.set(`${host}:${port}`, error));
      // What kafkajs calls of a socket, and no more.
      return socket as unknown as ReturnType<NonNullable<KafkaConfig["socketFactory"]>>;
    },
  });
  calmTimers(kafka);
  return kafka;
};

interface Connected {
  readonly producer: Producer;
  /** As the Java client places keys: murmur2. */
  readonly choose: ReturnType<ICustomPartitioner>;
}

/** Starts to connect. Nothing is thrown before something is asked of the session. */
export const openKafkaSession = (options: KafkaOptions, login: SASLOptions | undefined): KafkaSession => {
  const { topic, gzip } = options;
  const sockets = new Set<LazySocket>();
  const met = new Map<string, DialError>();
  const controller = new AbortController();
  let partitions: PartitionMetadata[] = [];
  const partition: ICustomPartitioner = () => (given) => {
    partitions = given.partitionMetadata;
    if (given.message === probe) throw new ProbeAnswered();
    return given.message.partition as number;
  };

  const findPartitions = async (producer: Producer): Promise<void> => {
    try {
      await producer.send({ topic, messages: [probe] });
    } catch (error) {
      if (!(rootOf(error) instanceof ProbeAnswered)) throw error;
    }
  };

  const connect = async (): Promise<Connected> => {
    const kafka = await createKafka(options, login, controller.signal, { sockets, met });
    const producer = kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      retry: producerRetry,
      createPartitioner: partition,
    });
    await producer.connect();
    await findPartitions(producer);
    const { Partitioners } = await import("kafkajs");
    return { producer, choose: Partitioners.DefaultPartitioner() };
  };

  const connected = connect().catch((error) => {
    throw readError(error, met);
  });
  connected.catch(() => {});

  return {
    partitioner: async () => {
      const { choose } = await connected;
      return (key) => choose({ topic, partitionMetadata: partitions, message: { key, value: null } });
    },
    send: async (partition, records) => {
      const { producer } = await connected;
      try {
        const messages = records.map((record) => ({ ...record, partition }));
        const [answer] = await producer.send({ topic, acks: -1, compression: gzip ? 1 : 0, messages });
        return BigInt(answer?.baseOffset ?? -1);
      } catch (error) {
        throw readError(error, met);
      }
    },
    destroy: async () => {
      controller.abort();
      const closed = [...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
      for (const socket of sockets) {
        socket.destroy(new DialError("reset", "the connection was closed by this worker", { ours: true }));
      }
      await Promise.all(closed);
    },
  };
};
