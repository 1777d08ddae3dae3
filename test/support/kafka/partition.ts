/** One partition of a topic: checks a batch as a broker does, appends it, and remembers each producer's sequence. */
import { gunzipSync } from "node:zlib";
import { crc32c, type KafkaErrorName, WireReader } from "./wire.ts";

/** A record as a consumer gets it. */
export interface StoredRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestamp: number;
  readonly gzip: boolean;
}

/** What becomes of a batch. */
export interface Appended {
  readonly error: KafkaErrorName;
  readonly offset: number;
  readonly records: readonly StoredRecord[];
}

interface StoredBatch {
  readonly offset: number;
  readonly lastOffset: number;
  readonly bytes: Buffer;
}

interface ProducerState {
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
  readonly offset: number;
}

/** Record batch v2 (https://kafka.apache.org/documentation/#recordbatch). */
const readBatch = (bytes: Buffer) => {
  const reader = new WireReader(bytes);
  reader.raw(16);
  const magic = reader.int8();
  const crc = reader.int32() >>> 0;
  const valid = magic === 2 && crc === crc32c(reader.rest());
  const codec = reader.int16() & 7;
  const lastDelta = reader.int32();
  const timestamp = Number(reader.int64());
  reader.int64();
  const [producer, epoch, sequence] = [reader.int64(), reader.int16(), reader.int32()];
  const count = reader.int32();
  return { valid, codec, lastDelta, timestamp, producer, epoch, sequence, count, body: reader.rest() };
};

const readHeader = (reader: WireReader): readonly [string, string] => [
  String(reader.varbytes()),
  String(reader.varbytes() ?? ""),
];

const readRecord = (reader: WireReader) => {
  reader.varint();
  reader.int8();
  const [timestampDelta, offsetDelta] = [reader.varint(), reader.varint()];
  const [key, value] = [reader.varbytes()?.toString() ?? null, reader.varbytes()?.toString() ?? null];
  const headers = Object.fromEntries(Array.from({ length: reader.varint() }, () => readHeader(reader)));
  return { timestampDelta, offsetDelta, key, value, headers };
};

const refused = (error: KafkaErrorName): Appended => ({ error, offset: -1, records: [] });

export class Partition {
  readonly #topic: string;
  readonly #index: number;
  readonly #batches: StoredBatch[] = [];
  readonly #producers = new Map<bigint, ProducerState>();
  nextOffset = 0;

  constructor(topic: string, index: number) {
    this.#topic = topic;
    this.#index = index;
  }

  /** Appends a batch. One that the producer has sent before is answered as then, and not appended again. */
  append(bytes: Buffer, bytesMax: number): Appended {
    if (bytes.length > bytesMax) return refused("MESSAGE_TOO_LARGE");
    const batch = readBatch(bytes);
    if (!batch.valid) return refused("CORRUPT_MESSAGE");
    if (batch.codec > 1) return refused("UNSUPPORTED_COMPRESSION_TYPE");
    const known = batch.producer < 0n ? undefined : this.#producers.get(batch.producer);
    const last = batch.sequence + batch.count - 1;
    if (known !== undefined && known.epoch === batch.epoch) {
      if (known.first === batch.sequence && known.last === last) return { ...refused("NONE"), offset: known.offset };
      if (known.last + 1 !== batch.sequence) return refused("OUT_OF_ORDER_SEQUENCE_NUMBER");
    }
    if (known !== undefined && known.epoch > batch.epoch) return refused("INVALID_PRODUCER_EPOCH");
    const offset = this.nextOffset;
    this.#producers.set(batch.producer, { epoch: batch.epoch, first: batch.sequence, last, offset });
    return { error: "NONE", offset, records: this.#store(bytes, batch) };
  }

  #store(bytes: Buffer, batch: ReturnType<typeof readBatch>): readonly StoredRecord[] {
    const offset = this.nextOffset;
    const gzip = batch.codec === 1;
    const reader = new WireReader(gzip ? gunzipSync(batch.body) : batch.body);
    const records = Array.from({ length: batch.count }, () => {
      const { timestampDelta, offsetDelta, ...record } = readRecord(reader);
      const place = { topic: this.#topic, partition: this.#index, offset: offset + offsetDelta };
      return { ...record, ...place, timestamp: batch.timestamp + timestampDelta, gzip };
    });
    const stored = Buffer.from(bytes);
    stored.writeBigInt64BE(BigInt(offset));
    this.nextOffset = offset + batch.lastDelta + 1;
    this.#batches.push({ offset, lastOffset: this.nextOffset - 1, bytes: stored });
    return records;
  }

  /** The batches that a consumer at an offset has not seen. */
  readFrom(offset: number): Buffer {
    return Buffer.concat(this.#batches.filter(({ lastOffset }) => lastOffset >= offset).map(({ bytes }) => bytes));
  }
}
