/**
 * Cold plans: a worker that idled on an empty, vacuumed and analysed job table, and then a burst; against a worker that
 * was started after the same burst. graphile-worker by itself falls to a few jobs a second here.
 */
import { setTimeout as wait } from "node:timers/promises";
import { insertEvents, openDatabase, startReceiver, startWorkerProcess } from "./support.ts";

const settle = "vacuum (analyze) graphile_worker._private_jobs";
type Burst = (pool: Awaited<ReturnType<typeof openDatabase>>["pool"]) => Promise<void>;

const bursts: Record<string, { events: number; insert: Burst }> = {
  bulk: { events: 100_000, insert: (pool) => insertEvents(pool, 100_000) },
  // One transaction, so that all jobs, one for each event, appear at the same moment.
  single: {
    events: 10_000,
    insert: async (pool) => {
      await pool.query(`do $$ begin for n in 1 .. 10000 loop
        insert into outbox.events (topic, payload) values ('order.paid', '{"total": 12.50}'); end loop; end $$`);
    },
  },
};

const afterIdling = async (serverUrl: string, name: string, idleSeconds: number): Promise<number> => {
  const burst = bursts[name];
  if (burst === undefined) throw new Error(`no burst ${name}`);
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_idle", receiver.url);
  await database.pool.query(settle);
  await using _worker = await startWorkerProcess(database.url);
  await wait(idleSeconds * 1000);
  await database.pool.query(settle);
  await burst.insert(database.pool);
  return burst.events / (await receiver.secondsUntil(burst.events));
};

const startedAfter = async (serverUrl: string, name: string): Promise<number> => {
  const burst = bursts[name];
  if (burst === undefined) throw new Error(`no burst ${name}`);
  await using receiver = await startReceiver();
  await using database = await openDatabase(serverUrl, "bench_idle", receiver.url);
  await database.pool.query(settle);
  await burst.insert(database.pool);
  await using _worker = await startWorkerProcess(database.url);
  return burst.events / (await receiver.secondsUntil(burst.events));
};

/** Deliveries a second after idling and in a worker started after the burst, for a bulk burst and for single rows. */
export const measureIdle = async (serverUrl: string, { idleSeconds }: { idleSeconds: number }) => {
  const figures: Record<string, { idled: number; started: number; ratio: number }> = {};
  for (const name of Object.keys(bursts)) {
    const started = await startedAfter(serverUrl, name);
    const idled = await afterIdling(serverUrl, name, idleSeconds);
    figures[name] = { idled, started, ratio: idled / started };
  }
  return figures;
};
