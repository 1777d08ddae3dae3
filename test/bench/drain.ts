/** How fast a backlog drains over HTTP, against the same POSTs by undici with no database at all. */
import { bareSeconds, insertEvents, median, openDatabase, startReceiver, startWorkerProcess } from "./support.ts";

const drain = async (serverUrl: string, events: number): Promise<number> => {
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_drain", receiver.url);
  await insertEvents(database.pool, events);
  await database.pool.query("checkpoint");
  await using _worker = await startWorkerProcess(database.url);
  return await receiver.secondsUntil(events);
};

const bare = async (events: number): Promise<number> => {
  await using receiver = await startReceiver();
  return await bareSeconds(receiver.url, events);
};

/** Rates in deliveries a second, and their ratio. */
export const measureDrain = async (serverUrl: string, { events, rounds }: { events: number; rounds: number }) => {
  const figures = { postrider: [] as number[], undici: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    figures.undici.push(events / (await bare(events)));
    figures.postrider.push(events / (await drain(serverUrl, events)));
  }
  const [postrider, undici] = [median(figures.postrider), median(figures.undici)];
  return { postrider, undici, ratio: postrider / undici };
};
