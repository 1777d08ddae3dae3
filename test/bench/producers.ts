/** What the trigger costs producers: single-row transactions on 8 connections, with it, deferred, and without it. */
import pg from "pg";
import { median, openDatabase } from "./support.ts";

const connections = 8;
const modes = {
  bare: { trigger: "disable", setting: "immediate" },
  immediate: { trigger: "enable", setting: "immediate" },
  deferred: { trigger: "enable", setting: "deferred" },
} as const;
type Mode = keyof typeof modes;

const commits = async (url: string, mode: Mode, seconds: number): Promise<number> => {
  const until = performance.now() + seconds * 1000;
  const produce = async (): Promise<number> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`set outbox.fan_out = '${modes[mode].setting}'`);
    let count = 0;
    for (; performance.now() < until; count += 1) {
      await client.query({
        name: "insert",
        text: "insert into outbox.events (topic, payload) values ('order.paid', $1)",
        values: [`{"order_id": ${count}, "total": 12.50}`],
      });
    }
    await client.end();
    return count;
  };
  const counts = await Promise.all(Array.from({ length: connections }, produce));
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
};

/** Commits a second in each mode, no worker running, and what part of the bare rate remains. */
export const measureProducers = async (serverUrl: string, { seconds, rounds }: { seconds: number; rounds: number }) => {
  await using database = await openDatabase(serverUrl, "bench_producers", "https://example.com/");
  const figures: Record<Mode, number[]> = { bare: [], immediate: [], deferred: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const mode of Object.keys(modes) as Mode[]) {
      await database.pool.query(`alter table outbox.events ${modes[mode].trigger} trigger _500_fan_out`);
      figures[mode].push(await commits(database.url, mode, seconds));
    }
  }
  const bare = median(figures.bare);
  const immediate = median(figures.immediate);
  const deferred = median(figures.deferred);
  return { bare, immediate, deferred, immediateRatio: immediate / bare, deferredRatio: deferred / bare };
};
