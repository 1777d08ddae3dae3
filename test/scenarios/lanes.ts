/**
 * Every key of an ordered subscription arrives in order, while the receiver fails at random and workers are killed. Some events
 * are there at the start, the others come from producers that take turns at each key. A repetition is right only beside an
 * attempt whose outcome nobody knows.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type pg from "pg";
import { startWorkerProcess } from "../chaos/support/worker.ts";
import { addDestination } from "../support/factory.ts";
import { type Reply, startReceiver } from "../support/receiver.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const failureShare = 0.05;
const producers = 4;
const killEveryMs = 3_000;
const limitMs = 300_000;

/** What the receiver knows of a key. */
interface Line {
  /** How many of its events were taken, all in order. */
  taken: number;
  open: number;
}

/** Writes down what arrives, and what of it is out of order. */
const startBook = () => {
  const lines = new Map<string, Line>();
  const repeated = new Set<string>();
  const problems: string[] = [];
  const arrive = (id: string, key: string, n: number): Line => {
    const line = lines.get(key) ?? { taken: 0, open: 0 };
    lines.set(key, line);
    if (n > line.taken + 1) problems.push(`${key}: ${n} came when ${line.taken} were taken`);
    if (n <= line.taken) repeated.add(id);
    if (line.open > 0) problems.push(`${key}: ${n} came while another was under way`);
    return line;
  };
  const answerTo = (line: Line, n: number): Reply => {
    const luck = Math.random();
    if (luck < failureShare / 2) return "reset";
    if (luck < failureShare) return 503;
    line.taken = Math.max(line.taken, n);
    return 200;
  };
  return { lines, repeated, problems, arrive, answerTo };
};

const addAll = async (pool: pg.Pool, keys: number, each: number): Promise<void> => {
  await pool.query("create table counters (key text primary key, n integer not null)");
  await pool.query("insert into counters select 'order-' || k, $2 from generate_series(1, $1) as k", [keys, each]);
  await pool.query(
    `insert into outbox.events (topic, key, payload)
     select 'order.changed', 'order-' || k, json_build_object('key', 'order-' || k, 'n', n)
     from generate_series(1, $2) as n cross join generate_series(1, $1) as k`,
    [keys, each],
  );
};

/** One event after the other, each in the transaction that changes the row of its key. */
const produce = async (pool: pg.Pool, keys: number, events: number): Promise<void> => {
  for (let done = 0; done < events; done++) {
    await pool.query(
      `with changed as (update counters set n = n + 1 where key = $1 returning key, n)
       insert into outbox.events (topic, key, payload)
       select 'order.changed', c.key, json_build_object('key', c.key, 'n', c.n) from changed as c`,
      [`order-${1 + Math.floor(Math.random() * keys)}`],
    );
  }
};

/** Kills one of two workers now and then, and starts another in its place. */
const startKiller = async (databaseUrl: string, pool: pg.Pool, killsMax: number, isSmoke: boolean) => {
  const ending = new AbortController();
  const workers = [await startWorkerProcess(databaseUrl), await startWorkerProcess(databaseUrl)];
  let kills = 0;
  const kill = async (): Promise<void> => {
    while (kills < killsMax) {
      await pause(isSmoke ? killEveryMs / 10 : killEveryMs, undefined, { signal: ending.signal });
      const victim = workers.shift();
      victim?.signal("SIGKILL");
      await victim?.exit;
      kills += 1;
      // In the small size nobody waits until its silence is noticed.
      if (isSmoke) {
        await pool.query(
          "update outbox.workers set heartbeat_at = now() - outbox.worker_lease() * 2 where id = any ($1)",
          [victim?.workerIds],
        );
      }
      workers.push(await startWorkerProcess(databaseUrl));
    }
  };
  const killing = kill().catch((error) => {
    if (!ending.signal.aborted) throw error;
  });
  return {
    kills: () => kills,
    async [Symbol.asyncDispose]() {
      ending.abort();
      await killing;
      await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
    },
  };
};

export const run = async ({ serverUrl, smoke }: Stage): Promise<Readonly<Record<string, unknown>>> => {
  const keys = smoke ? 20 : 200;
  const events = smoke ? 600 : 10_000;
  const book = startBook();
  await using receiver = await startReceiver({
    respond: ({ headers, rawBody }, response) => {
      const { key, n } = JSON.parse(rawBody.toString());
      const line = book.arrive(String(headers["webhook-id"]), key, n);
      line.open += 1;
      response.once("close", () => {
        line.open -= 1;
      });
      return book.answerTo(line, n);
    },
  });
  await using database = await stageDatabase(serverUrl, "lanes");
  const { pool } = database;
  await addDestination(pool, {
    config: { url: receiver.url },
    policy: { schedule_seconds: Array(50).fill(0.1), jitter: 0 },
    ordered: true,
  });
  await addAll(pool, keys, events / 2 / keys);
  const startedAt = performance.now();
  await using killer = await startKiller(database.url, pool, smoke ? 1 : 8, smoke);
  await Promise.all(Array.from({ length: producers }, () => produce(pool, keys, events / 2 / producers)));

  for (;;) {
    const { rows } = await pool.query(
      "select count(*)::integer as left from outbox.deliveries where status <> 'delivered'",
    );
    if (rows[0].left === 0) break;
    const { rows: lanes } = await pool.query("select * from outbox.lanes limit 5");
    assert.ok(performance.now() - startedAt < limitMs, `${rows[0].left} are left: ${JSON.stringify(lanes)}`);
    await pause(100);
  }
  const seconds = (performance.now() - startedAt) / 1_000;

  const { rows: unknown } = await pool.query("select distinct event_id from outbox.attempts where outcome = 'unknown'");
  const explained = new Set(unknown.map((row) => row.event_id));
  const unexplained = [...book.repeated].filter((eventId) => !explained.has(eventId));
  const { rows: total } = await pool.query("select n, key from counters");
  for (const { key, n } of total) assert.equal(book.lines.get(key)?.taken, n, `${key} arrived as a whole`);
  assert.deepEqual(book.problems.slice(0, 10), [], `${book.problems.length} arrivals were out of order`);
  assert.deepEqual(unexplained, [], "each repetition stands beside an unknown attempt");
  return {
    events,
    keys,
    workers_killed: killer.kills(),
    requests: receiver.count,
    repeated_beside_unknown: book.repeated.size,
    seconds,
    deliveries_per_second: events / seconds,
  };
};
