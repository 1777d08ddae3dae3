/** How the broker answers each request (https://kafka.apache.org/protocol#protocol_messages). */
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Fault, KafkaOptions, KafkaState } from "./broker.ts";
import { consumerApis } from "./consumer_answers.ts";
import { type SaslExchange, saslMechanisms } from "./sasl.ts";
import { type KafkaErrorName, kafkaErrors, WireReader, WireWriter } from "./wire.ts";

/** One client. */
export interface Connection {
  readonly socket: Socket;
  sasl: SaslExchange | undefined;
  signedIn: boolean;
}

interface Surroundings extends KafkaOptions {
  readonly brokers: readonly { readonly host: string; readonly port: number }[];
}

/** What a client asks. */
export interface Request {
  readonly reader: WireReader;
  readonly version: number;
  readonly connection: Connection;
  readonly state: KafkaState;
  readonly options: Surroundings;
}

/** An answer's body, or what is done instead of answering. */
export type Answer = WireWriter | "cut" | "silence";

/** What the broker does for one kind of request. */
export interface Api {
  readonly versions: readonly [min: number, max: number];
  /** Whether it is open to those who have not signed in. */
  readonly open?: true;
  readonly answer: (request: Request) => Answer | Promise<Answer>;
}

const word = (error: KafkaErrorName): number => kafkaErrors[error];

const produce = ({ reader, version, state, options }: Request): Answer => {
  reader.string();
  reader.int16();
  reader.int32();
  const faults: (Fault | undefined)[] = [];
  const append = (topic: string, index: number, bytes: Buffer) => {
    const fault = options.onProduce?.(topic, index, bytes.readInt32BE(57));
    faults.push(fault);
    const partition = state.topics.get(topic)?.[index];
    if (partition === undefined) return { index, error: "UNKNOWN_TOPIC_OR_PARTITION" as const, offset: -1 };
    if (fault !== undefined && fault in kafkaErrors) return { index, error: fault as KafkaErrorName, offset: -1 };
    if (fault === "lost") return { index, error: "NONE" as const, offset: -1 };
    const { error, offset, records } = partition.append(bytes, options.batchBytesMax ?? 1_048_588);
    for (const record of records) state.records.add(record);
    return { index, error, offset };
  };
  const topics = reader.list(() => {
    const name = reader.string();
    return { name, partitions: reader.list(() => append(name, reader.int32(), reader.bytes())) };
  });
  if (faults.includes("cut") || faults.includes("lost")) return "cut";
  if (faults.includes("hang")) return "silence";
  const answer = new WireWriter();
  return answer
    .list(topics, ({ name, partitions }) =>
      answer.string(name).list(partitions, ({ index, error, offset }) => {
        answer.int32(index).int16(word(error)).int64(offset).int64(-1);
        if (version >= 5) answer.int64(0);
      }),
    )
    .int32(0);
};

const metadata = ({ reader, version, state, options }: Request): Answer => {
  const names = reader.array(() => reader.string()) ?? [...state.topics.keys()];
  const answer = new WireWriter();
  if (version >= 3) answer.int32(0);
  answer.list([...options.brokers.entries()], ([id, { host, port }]) =>
    answer
      .int32(id + 1)
      .string(host)
      .int32(port)
      .string(null),
  );
  if (version >= 2) answer.string("cluster");
  return answer.int32(1).list(names, (name) => {
    const partitions = state.topics.get(name) ?? [];
    const error = partitions.length === 0 ? "UNKNOWN_TOPIC_OR_PARTITION" : (options.topicError ?? "NONE");
    answer
      .int16(word(error))
      .string(name)
      .int8(0)
      .list([...partitions.keys()], (index) => {
        answer.int16(0).int32(index).int32(1);
        answer.list([1], (id) => answer.int32(id)).list([1], (id) => answer.int32(id));
      });
  });
};

const listOffsets = ({ reader, state }: Request): Answer => {
  reader.int32();
  const answer = new WireWriter();
  const topics = reader.list(() => {
    const name = reader.string();
    return { name, partitions: reader.list(() => ({ index: reader.int32(), time: reader.int64() })) };
  });
  return answer.list(topics, ({ name, partitions }) =>
    answer.string(name).list(partitions, ({ index, time }) => {
      const next = state.topics.get(name)?.[index]?.nextOffset ?? 0;
      return answer
        .int32(index)
        .int16(0)
        .int64(-1)
        .int64(time === -2n ? 0 : next);
    }),
  );
};

/** A consumer that has read everything is answered when its time is up, or it would ask again and again. */
const fetchRecords = async ({ reader, state }: Request): Promise<Answer> => {
  reader.int32();
  const waitMs = reader.int32();
  reader.raw(9);
  const answer = new WireWriter().int32(0);
  const topics = reader.list(() => {
    const name = reader.string();
    return {
      name,
      partitions: reader.list(() => ({ index: reader.int32(), offset: Number(reader.int64()), max: reader.int32() })),
    };
  });
  const isRead = ({ name, partitions }: (typeof topics)[number]) =>
    partitions.every(({ index, offset }) => offset >= (state.topics.get(name)?.[index]?.nextOffset ?? 0));
  if (topics.every(isRead)) await pause(waitMs);
  return answer.list(topics, ({ name, partitions }) =>
    answer.string(name).list(partitions, ({ index, offset }) => {
      const partition = state.topics.get(name)?.[index];
      const end = partition?.nextOffset ?? -1;
      answer.int32(index).int16(partition === undefined ? 3 : 0);
      return answer
        .int64(end)
        .int64(end)
        .int32(-1)
        .bytes(partition?.readFrom(offset) ?? Buffer.alloc(0));
    }),
  );
};

const saslHandshake = ({ reader, connection, options }: Request): Answer => {
  const mechanism = saslMechanisms[reader.string()];
  connection.sasl = options.sasl && mechanism?.(options.sasl);
  const error = mechanism === undefined ? "UNSUPPORTED_SASL_MECHANISM" : "NONE";
  const answer = new WireWriter().int16(word(error));
  return answer.list(Object.keys(saslMechanisms), (name) => answer.string(name));
};

const saslAuthenticate = ({ reader, connection }: Request): Answer => {
  const step = connection.sasl?.(reader.bytes().toString());
  if (step?.answer === undefined) {
    return new WireWriter().int16(word("SASL_AUTHENTICATION_FAILED")).string("refused").bytes(Buffer.alloc(0));
  }
  connection.signedIn = step.done;
  return new WireWriter().int16(0).string(null).bytes(Buffer.from(step.answer));
};

const apis: Readonly<Record<number, Api>> = {
  ...consumerApis,
  0: { versions: [3, 7], answer: produce },
  1: { versions: [4, 4], answer: fetchRecords },
  2: { versions: [1, 1], answer: listOffsets },
  3: { versions: [1, 4], answer: metadata },
  17: { versions: [0, 1], open: true, answer: saslHandshake },
  18: { versions: [0, 2], open: true, answer: () => apiVersions("NONE") },
  22: {
    versions: [0, 1],
    answer: ({ state }) => {
      state.producers += 1;
      return new WireWriter().int32(0).int16(0).int64(state.producers).int16(0);
    },
  },
  36: { versions: [0, 0], open: true, answer: saslAuthenticate },
};

/** In version 0, which every client reads. */
const apiVersions = (error: KafkaErrorName): WireWriter => {
  const answer = new WireWriter().int16(word(error));
  return answer.list(Object.entries(apis), ([key, { versions }]) =>
    answer.int16(Number(key)).int16(versions[0]).int16(versions[1]),
  );
};

const give = (answer: Answer, correlation: number, socket: Socket): void => {
  if (answer === "cut") return void socket.destroy();
  if (answer === "silence") return;
  const body = answer.done();
  const head = new WireWriter().int32(body.length + 4).int32(correlation);
  // In one piece: Nagle's algorithm would hold a second one back for 40 ms.
  socket.write(Buffer.concat([head.done(), body]));
};

/** Reads one request and answers it; one that the broker does not know ends the connection. */
export const answerRequest = (bytes: Buffer, connection: Connection, state: KafkaState, options: Surroundings) => {
  const reader = new WireReader(bytes);
  const [key, version, correlation] = [reader.int16(), reader.int16(), reader.int32()];
  reader.string();
  const { socket } = connection;
  const api = apis[key];
  const isKnown = api !== undefined && version >= api.versions[0] && version <= api.versions[1];
  const mayAsk = connection.signedIn || api?.open === true;
  let answer: Answer | Promise<Answer> = "cut";
  if (key === 18) answer = version === 0 ? apiVersions("NONE") : apiVersions("UNSUPPORTED_VERSION");
  else if (isKnown && mayAsk) answer = api.answer({ reader, version, connection, state, options });
  if (answer instanceof Promise) void answer.then((late) => give(late, correlation, socket));
  else give(answer, correlation, socket);
};
