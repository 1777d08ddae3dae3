/**
 * How the broker answers those who make topics and read them (https://kafka.apache.org/protocol#protocol_messages). A
 * consumer group has one member, who leads it and gets what it assigns itself; offsets are not kept.
 */
import type { Answer, Api, Request } from "./answers.ts";
import { Partition } from "./partition.ts";
import { kafkaErrors, type WireReader, WireWriter } from "./wire.ts";

const ok = kafkaErrors.NONE;
const member = "member";

const createTopics = ({ reader, state }: Request): Answer => {
  const names = reader.list(() => {
    const topic = reader.string();
    const partitions = Array.from({ length: reader.int32() }, (_, index) => new Partition(topic, index));
    reader.int16();
    reader.list(() => [reader.int32(), reader.list(() => reader.int32())]);
    reader.list(() => [reader.string(), reader.string()]);
    state.topics.set(topic, partitions);
    return topic;
  });
  const answer = new WireWriter();
  return answer.list(names, (name) => answer.string(name).int16(ok));
};

const deleteTopics = ({ reader, state }: Request): Answer => {
  const names = reader.list(() => reader.string());
  for (const name of names) state.topics.delete(name);
  const answer = new WireWriter();
  return answer.list(names, (name) => answer.string(name).int16(ok));
};

const findCoordinator = ({ options }: Request): Answer => {
  const [{ host, port } = { host: "", port: 0 }] = options.brokers;
  return new WireWriter().int16(ok).int32(1).string(host).int32(port);
};

const joinGroup = ({ reader }: Request): Answer => {
  reader.string();
  reader.int32();
  reader.string();
  reader.string();
  const [protocol] = reader.list(() => ({ name: reader.string(), metadata: reader.bytes() }));
  if (protocol === undefined) return "cut";
  const answer = new WireWriter().int16(ok).int32(1).string(protocol.name).string(member).string(member);
  return answer.list([protocol], ({ metadata }) => answer.string(member).bytes(metadata));
};

const syncGroup = ({ reader }: Request): Answer => {
  reader.string();
  reader.int32();
  reader.string();
  const [own] = reader.list(() => ({ member: reader.string(), assignment: reader.bytes() }));
  return new WireWriter().int16(ok).bytes(own?.assignment ?? Buffer.alloc(0));
};

/** Topics, and a number for each partition of them. */
const readPlaces = (reader: WireReader, readPartition: () => number) =>
  reader.list(() => ({ topic: reader.string(), partitions: reader.list(readPartition) }));

const offsetFetch = ({ reader }: Request): Answer => {
  reader.string();
  const places = readPlaces(reader, () => reader.int32());
  const answer = new WireWriter();
  return answer.list(places, ({ topic, partitions }) =>
    answer.string(topic).list(partitions, (index) => answer.int32(index).int64(-1).string("").int16(ok)),
  );
};

const offsetCommit = ({ reader }: Request): Answer => {
  reader.string();
  reader.int32();
  reader.string();
  reader.int64();
  const places = readPlaces(reader, () => {
    const index = reader.int32();
    reader.int64();
    reader.string();
    return index;
  });
  const answer = new WireWriter();
  return answer.list(places, ({ topic, partitions }) =>
    answer.string(topic).list(partitions, (index) => answer.int32(index).int16(ok)),
  );
};

const agree = (): Answer => new WireWriter().int16(ok);

/** By the key of the request. */
export const consumerApis: Readonly<Record<number, Api>> = {
  8: { versions: [2, 2], answer: offsetCommit },
  9: { versions: [1, 1], answer: offsetFetch },
  10: { versions: [0, 0], answer: findCoordinator },
  11: { versions: [0, 0], answer: joinGroup },
  12: { versions: [0, 0], answer: agree },
  13: { versions: [0, 0], answer: agree },
  14: { versions: [0, 0], answer: syncGroup },
  19: { versions: [0, 0], answer: createTopics },
  20: { versions: [0, 0], answer: deleteTopics },
};
