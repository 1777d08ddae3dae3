/** Sends records to one topic over sessions that come and go: in order for each partition, and in batches that fit. */
import { batched } from "../batch.ts";
import { abortable } from "../dial.ts";
import { abortError, DialError } from "../dial-error.ts";
import {
  KafkaError,
  type KafkaOptions,
  type KafkaRecord,
  type KafkaSession,
  openKafkaSession,
} from "./kafka-session.ts";

/** Where a record stands. */
export interface KafkaPlace {
  readonly partition: number;
  /** -1 when the broker did not say: it had the record already. */
  readonly offset: bigint;
}

/** A client of one topic. */
export interface KafkaClient {
  /**
   * Sends records, those of one key in their order. Settles when the signal aborts.
   * @returns for each record its place, or a DialError or KafkaError that says why it was not taken
   */
  readonly send: (records: readonly KafkaRecord[], signal: AbortSignal) => Promise<readonly (KafkaPlace | Error)[]>;
  /**
   * For good: lets what is being sent end, and closes the connections. What would need another one from then on is not sent;
   * its error is ours.
   */
  readonly close: () => Promise<void>;
}

/** Records that were given together, and share a deadline. */
interface Call {
  readonly signal: AbortSignal;
}

interface Item {
  readonly record: KafkaRecord;
  readonly call: Call;
}

interface OpenSession {
  readonly session: KafkaSession;
  /** Which of the logins it signs in with. */
  readonly login: number;
  /** Who waits for it; nobody is left when it is closed. */
  readonly calls: Set<Call>;
}

/** Records of one batch at most. */
const batchSizeMax = 500;
/** Record batch v2: the header is 61 bytes (https://kafka.apache.org/documentation/#recordbatch). */
const batchHeaderBytes = 61;
/** The lengths and deltas of a record, and those of a header of it, are varints: at their longest. */
const recordFrameBytes = 31;
const headerFrameBytes = 10;

/** What a record takes in a batch, without compression, at most. */
const recordBytes = ({ key, value, headers }: KafkaRecord): number =>
  recordFrameBytes +
  Buffer.byteLength(key) +
  Buffer.byteLength(value) +
  Object.entries(headers).reduce(
    (sum, [name, text]) => sum + headerFrameBytes + Buffer.byteLength(name) + Buffer.byteLength(text),
    0,
  );

/** The size of a batch that holds nothing but this record, without compression, at most. */
export const loneBatchBytes = (record: KafkaRecord): number => batchHeaderBytes + recordBytes(record);

const splitByBytes = (items: readonly Item[], bytesMax: number): readonly (readonly Item[])[] => {
  const batches: Item[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const more = recordBytes(item.record);
    if (bytes + more > bytesMax) {
      batches.push([]);
      bytes = batchHeaderBytes;
    }
    batches.at(-1)?.push(item);
    bytes += more;
  }
  return batches;
};

/** The broker took nothing of the batch, because of one record in it: the others can go without. */
const faultsOfOne: ReadonlySet<string> = new Set([
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "INVALID_TIMESTAMP",
]);
const isFaultOfOne = (error: unknown): boolean => error instanceof KafkaError && faultsOfOne.has(error.code);

const refusedLogins: ReadonlySet<string> = new Set(["KafkaJSSASLAuthenticationError", "SASL_AUTHENTICATION_FAILED"]);
const isRefusedLogin = (error: unknown): boolean => error instanceof KafkaError && refusedLogins.has(error.code);

/** A client that connects when it first sends. */
export const createKafkaClient = (options: KafkaOptions): KafkaClient => {
  const sessions = new Set<OpenSession>();
  let current: OpenSession | undefined;
  let login = 0;
  const lanes = new Map<number, (item: Item) => Promise<KafkaPlace>>();
  let closed = false;
  const running = new Set<Promise<unknown>>();

  /** @throws DialError when that would take a new session of a closed client */
  const join = (call: Call): OpenSession => {
    if (current === undefined) {
      if (closed) throw new DialError("reset", "the client was closed by this worker", { ours: true });
      current = { session: openKafkaSession(options, options.logins[login]), login, calls: new Set() };
      sessions.add(current);
    }
    current.calls.add(call);
    return current;
  };

  /** New calls get another session; this one is closed as soon as nobody waits for it. */
  const retire = (open: OpenSession): void => {
    if (current === open) current = undefined;
    closeIfLeft(open);
  };

  const closeIfLeft = (open: OpenSession): void => {
    if (open === current || open.calls.size > 0 || !sessions.delete(open)) return;
    void open.session.destroy();
  };

  /** A call that its deadline ended leaves a session behind of which nobody knows what it still does. */
  const leave = (call: Call): void => {
    for (const open of [...sessions]) {
      if (!open.calls.delete(call)) continue;
      if (call.signal.aborted) retire(open);
      else closeIfLeft(open);
    }
  };

  const sendBatch = async (partition: number, items: readonly Item[]): Promise<readonly KafkaPlace[]> => {
    const opens = items.map(({ call }) => join(call));
    const [open] = opens as [OpenSession];
    try {
      const offset = await open.session.send(
        partition,
        items.map(({ record }) => record),
      );
      return items.map((_, n) => ({ partition, offset: offset < 0n ? offset : offset + BigInt(n) }));
    } catch (error) {
      if (!isFaultOfOne(error)) retire(open);
      throw error;
    }
  };

  /** Batches one after another; after a failure the rest fails with it, so that no record overtakes an earlier one. */
  const sendInOrder = async (
    partition: number,
    batches: readonly (readonly Item[])[],
  ): Promise<readonly (KafkaPlace | Error)[]> => {
    const answers: (KafkaPlace | Error)[] = [];
    const left = [...batches];
    for (let batch = left.shift(); batch !== undefined; batch = left.shift()) {
      try {
        answers.push(...(await sendBatch(partition, batch)));
      } catch (error) {
        if (isFaultOfOne(error) && batch.length > 1) {
          left.unshift(...batch.map((item) => [item]));
          continue;
        }
        const failed = isFaultOfOne(error) ? batch : [...batch, ...left.splice(0).flat()];
        answers.push(...failed.map(() => error as Error));
      }
    }
    return answers;
  };

  /** Those whose deadline has passed while they waited are not sent: nobody would hear of it. */
  const sendWaiting = async (partition: number, items: readonly Item[]): Promise<readonly (KafkaPlace | Error)[]> => {
    const live = items.filter(({ call }) => !call.signal.aborted);
    const answers = await sendInOrder(partition, splitByBytes(live, options.batchBytesMax));
    const answerOf = new Map(live.map((item, n) => [item, answers[n]]));
    return items.map((item) => answerOf.get(item) ?? abortError(item.call.signal));
  };

  const laneOf = (partition: number) => {
    const known = lanes.get(partition);
    if (known !== undefined) return known;
    const run = (items: readonly Item[]) => sendWaiting(partition, items);
    const lane = batched<Item, KafkaPlace>(run, { sizeMax: batchSizeMax, parallelMax: 1 });
    lanes.set(partition, lane);
    return lane;
  };

  /** The partition of each record. A refused login is tried no more before all others were. */
  const place = async (records: readonly KafkaRecord[], call: Call, tried = 1): Promise<readonly number[]> => {
    const open = join(call);
    try {
      const partitionOf = await abortable(open.session.partitioner(), call.signal);
      open.calls.delete(call);
      closeIfLeft(open);
      return records.map(({ key }) => partitionOf(key));
    } catch (error) {
      retire(open);
      if (!isRefusedLogin(error)) throw error;
      if (open.login === login) login = (login + 1) % Math.max(1, options.logins.length);
      if (tried >= options.logins.length) throw error;
      return place(records, call, tried + 1);
    }
  };

  const send: KafkaClient["send"] = async (records, signal) => {
    const call: Call = { signal };
    try {
      if (signal.aborted) throw abortError(signal);
      const partitions = await place(records, call);
      const sent = records.map((record, n) => laneOf(partitions[n] as number)({ record, call }));
      return await Promise.all(sent.map((answer) => abortable(answer, signal).catch((error: Error) => error)));
    } catch (error) {
      return records.map(() => error as Error);
    } finally {
      leave(call);
    }
  };

  return {
    send: (records, signal) => {
      const work = send(records, signal);
      running.add(work);
      void work.finally(() => running.delete(work));
      return work;
    },
    close: async () => {
      closed = true;
      await Promise.all(running);
      current = undefined;
      const closing = [...sessions];
      sessions.clear();
      await Promise.all(closing.map(({ session }) => session.destroy()));
    },
  };
};
