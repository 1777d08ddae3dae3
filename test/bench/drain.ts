/** How fast a backlog drains over HTTP, against the same POSTs by undici with no database at all. */
import { bareSeconds, insertEvents, median, openDatabase, startReceiver, startWorkerProcess } from "./support.ts";

/** A worker that has just been started compiles most of its code anew while it works; one that runs has done so. */
const warmUpOf = (events: number): number => events / 2;

const cold = async (serverUrl: string, events: number): Promise<number> => {
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_drain", receiver.url);
  await insertEvents(database.pool, events);
  await database.pool.query("checkpoint");
  await using _worker = await startWorkerProcess(database.url);
  return events / (await receiver.secondsUntil(events));
};

const running = async (serverUrl: string, events: number): Promise<number> => {
  const warmUp = warmUpOf(events);
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_drain", receiver.url);
  await using _worker = await startWorkerProcess(database.url);
  await insertEvents(database.pool, warmUp);
  await receiver.secondsUntil(warmUp);
  await insertEvents(database.pool, events);
  return events / (await receiver.secondsUntil(warmUp + events));
};

const bare = async (events: number, warmUp: number): Promise<number> => {
  await using receiver = await startReceiver();
  return events / (await bareSeconds(receiver.url, events, warmUp));
};

/** Rates in deliveries a second and their ratio, of processes that were just started and of running ones. */
export const measureDrain = async (serverUrl: string, { events, rounds }: { events: number; rounds: number }) => {
  const scenarios = {
    running: { ours: () => running(serverUrl, events), bare: () => bare(events, warmUpOf(events)) },
    cold: { ours: () => cold(serverUrl, events), bare: () => bare(events, 0) },
  };
  const figures: Record<string, { postrider: number; undici: number; ratio: number }> = {};
  for (const [name, rates] of Object.entries(scenarios)) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      theirs.push(await rates.bare());
      ours.push(await rates.ours());
    }
    const [postrider, undici] = [median(ours), median(theirs)];
    figures[name] = { postrider, undici, ratio: postrider / undici };
  }
  return figures;
};
