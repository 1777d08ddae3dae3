/**
 * A Kafka broker in memory: `await using broker = await startKafka({ topics: { orders: 3 } });`. It checks checksums, sizes
 * and the sequences of idempotent producers. A group has one consumer; transactions and replicas there are none.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { Arrivals } from "../arrivals.ts";
import { answerRequest, type Connection } from "./answers.ts";
import { Partition, type StoredRecord } from "./partition.ts";
import type { Credentials } from "./sasl.ts";
import type { KafkaErrorName } from "./wire.ts";

/** What befalls a batch: an error instead of appending; appended, then the connection is cut, or never answers. */
export type Fault = KafkaErrorName | "cut" | "hang" | "lost";

export interface KafkaOptions {
  /** Names, and how many partitions each has. */
  readonly topics: Readonly<Record<string, number>>;
  /** Default: a free one. */
  readonly port?: number;
  /** Where metadata says that brokers are: the first leads all partitions. Default: where it listens. */
  readonly advertised?: readonly { readonly host: string; readonly port: number }[];
  readonly batchBytesMax?: number;
  readonly sasl?: Credentials;
  readonly tls?: TlsOptions;
  /** Called for each batch; nothing means that it is appended and answered. */
  readonly onProduce?: (topic: string, partition: number, records: number) => Fault | undefined;
  /** The error that metadata tells of each topic. */
  readonly topicError?: KafkaErrorName;
}

/** What a broker knows, and keeps when it restarts. */
export interface KafkaState {
  readonly topics: Map<string, readonly Partition[]>;
  readonly records: Arrivals<StoredRecord>;
  producers: number;
}

export interface KafkaBroker extends AsyncDisposable {
  readonly port: number;
  readonly address: string;
  /** All records, in the order of their arrival. */
  readonly records: Arrivals<StoredRecord>;
  /** The connections that are open now. */
  readonly connections: number;
  onProduce: KafkaOptions["onProduce"];
  /** Cuts all connections and stops listening; `start` goes on with the same records on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** The whole requests or answers of a stream, without their length. */
export const readFrames = (socket: Socket, take: (frame: Buffer) => void): void => {
  let received: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
      const end = 4 + received.readInt32BE(0);
      take(received.subarray(4, end));
      received = received.subarray(end);
    }
  });
};

/** Starts a broker on 127.0.0.1. */
export const startKafka = async (options: KafkaOptions): Promise<KafkaBroker> => {
  const state: KafkaState = {
    topics: new Map(
      Object.entries(options.topics).map(([topic, count]) => [
        topic,
        Array.from({ length: count }, (_, index) => new Partition(topic, index)),
      ]),
    ),
    records: new Arrivals(),
    producers: 0,
  };
  const sockets = new Set<Socket>();
  let onProduce = options.onProduce;
  let server: Server;
  let port = options.port ?? 0;

  const accept = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
    const connection: Connection = { socket, sasl: undefined, signedIn: options.sasl === undefined };
    const brokers = options.advertised ?? [{ host: "127.0.0.1", port }];
    readFrames(socket, (request) =>
      answerRequest(request, connection, state, { ...options, ...(onProduce && { onProduce }), brokers }),
    );
  };

  const start = async (): Promise<void> => {
    server = options.tls === undefined ? createServer(accept) : createTlsServer(options.tls, accept);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
  };

  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };

  await start();
  return {
    port,
    address: `127.0.0.1:${port}`,
    records: state.records,
    get connections() {
      return sockets.size;
    },
    get onProduce() {
      return onProduce;
    },
    set onProduce(next) {
      onProduce = next;
    },
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      state.records.close();
      await stop();
    },
  };
};
