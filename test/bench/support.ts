/** The parts of the benchmark: a durable server, a receiver, workers, and the figures made of their rounds. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { migrate } from "../../src/migrate.ts";

/** Requests that are open at the same time in the bare loop, each on its own connection; Postrider has as many under way. */
export const concurrency = 128;

/** Starts a file of this folder as a process, and waits for its first message. */
export const start = async (file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) => {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", openSync("/dev/null", "w"), "inherit", "ipc"],
  });
  const [message] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => {
      throw new Error(`${file} ended with ${code}`);
    }),
  ]);
  return { child, message };
};

/** Ends a process in an orderly way. */
export const end = async (child: ChildProcess): Promise<void> => {
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
};

const arrivalMsMax = 180_000;

/** A receiver that counts. */
export const startReceiver = async () => {
  const { child, message } = await start("receiver-process.ts");
  return {
    url: `http://127.0.0.1:${message.port}/`,
    /** Resolves with the seconds since the call when so many requests have come, beside those of earlier calls. */
    secondsUntil: async (requests: number): Promise<number> => {
      const startedAt = performance.now();
      child.send({ announce: requests });
      await once(child, "message", { signal: AbortSignal.timeout(arrivalMsMax) });
      return (performance.now() - startedAt) / 1000;
    },
    [Symbol.asyncDispose]: () => end(child),
  };
};

/** A worker, as `postrider work` starts it. */
export const startWorkerProcess = async (databaseUrl: string) => {
  const { child } = await start("worker-process.ts", [], {
    DATABASE_URL: databaseUrl,
    POSTRIDER_ALLOW_HTTP: "true",
    POSTRIDER_ALLOW_NETWORKS: "127.0.0.0/8",
  });
  return { [Symbol.asyncDispose]: () => end(child) };
};

/** Seconds that bare undici needs for as many POSTs, after some that warm it up. */
export const bareSeconds = async (url: string, requests: number, warmUp: number): Promise<number> => {
  const args = [requests, concurrency, warmUp].map(String);
  return (await start("undici-process.ts", [url, ...args])).message.seconds;
};

/** A fresh migrated database with one destination at the URL. */
export const openDatabase = async (serverUrl: string, name: string, target?: string) => {
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query(`drop database if exists ${name} with (force)`);
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await migrate({ connectionString: url.href });
  const pool = new pg.Pool({ connectionString: url.href, max: 4 });
  pool.on("error", () => {});
  if (target !== undefined) {
    await pool.query("select outbox.create_destination('webhook', jsonb_build_object('url', $1::text))", [target]);
  }
  return { url: url.href, pool, [Symbol.asyncDispose]: () => pool.end() };
};

/** Inserts events, 1,000 in a statement, all of them in one transaction: they appear at the same moment. */
export const insertEvents = async (pool: pg.Pool, events: number): Promise<void> => {
  const client = await pool.connect();
  try {
    await client.query("begin");
    for (let done = 0; done < events; done += 1_000) {
      await client.query(
        `insert into outbox.events (topic, payload)
       select 'order.paid', json_build_object('order_id', $1 + n, 'total', 12.50) from generate_series(1, 1000) as n`,
        [done],
      );
    }
    await client.query("commit");
  } finally {
    client.release();
  }
};

/** The middle of an odd number of figures. */
export const median = (figures: readonly number[]): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
