/** How fast a backlog drains over HTTP, against the same POSTs by undici with no database at all. */
import { setTimeout as wait } from "node:timers/promises";
import { bareSeconds, insertEvents, median, openDatabase, startReceiver, startWorkerProcess } from "./support.ts";

type Receiver = Awaited<ReturnType<typeof startReceiver>>;
type BenchDatabase = Awaited<ReturnType<typeof openDatabase>>;

/** Deliveries, and bare POSTs, a second: measured one right after the other, because machines change their pace. */
interface Pair {
  readonly postrider: number;
  readonly undici: number;
}

export interface DrainOptions {
  readonly events: number;
  readonly rounds: number;
}

/** Seconds until the receiver got so many more requests, and each delivery is recorded. */
const secondsUntilRecorded = async (receiver: Receiver, { pool }: BenchDatabase, more: number): Promise<number> => {
  const startedAt = performance.now();
  await receiver.secondsUntil(more);
  const pending = "select from outbox.deliveries where status = 'pending' limit 1";
  while ((await pool.query(pending)).rowCount !== 0) await wait(5);
  return (performance.now() - startedAt) / 1000;
};

/** A worker that runs, and has compiled its code; the same receiver takes the bare POSTs. */
const measureRunning = async (serverUrl: string, { events, rounds }: DrainOptions): Promise<readonly Pair[]> => {
  const pairs: Pair[] = [];
  const warmUp = events / 2;
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_drain", receiver.url);
  await using _worker = await startWorkerProcess(database.url);
  await insertEvents(database.pool, warmUp);
  await secondsUntilRecorded(receiver, database, warmUp);
  for (let round = 0; round < rounds; round += 1) {
    const bare = await bareSeconds(receiver.url, events, warmUp);
    await receiver.secondsUntil(warmUp + events);
    await insertEvents(database.pool, events);
    const ours = await secondsUntilRecorded(receiver, database, events);
    pairs.push({ postrider: events / ours, undici: events / bare });
  }
  return pairs;
};

/** A worker that was started after the burst. */
const measureCold = async (serverUrl: string, { events, rounds }: DrainOptions): Promise<readonly Pair[]> => {
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await using receiver = await startReceiver();
    await using database = await openDatabase(serverUrl, "bench_drain", receiver.url);
    const bare = await bareSeconds(receiver.url, events, 0);
    await receiver.secondsUntil(events);
    await insertEvents(database.pool, events);
    await database.pool.query("checkpoint");
    await using _worker = await startWorkerProcess(database.url);
    const ours = await secondsUntilRecorded(receiver, database, events);
    pairs.push({ postrider: events / ours, undici: events / bare });
  }
  return pairs;
};

const summarise = (pairs: readonly Pair[]) => ({
  postrider: median(pairs.map(({ postrider }) => postrider)),
  undici: median(pairs.map(({ undici }) => undici)),
  ratio: median(pairs.map(({ postrider, undici }) => postrider / undici)),
});

/** Rates in deliveries a second, and the middle of the rounds' ratios, of a running worker and of one just started. */
export const measureDrain = async (serverUrl: string, options: DrainOptions) => ({
  running: summarise(await measureRunning(serverUrl, options)),
  cold: summarise(await measureCold(serverUrl, options)),
});
