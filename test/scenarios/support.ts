/** What scenarios share: a database of their own, a receiver that knows when each event came, and how long events took. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type pg from "pg";
import { openDatabase } from "../bench/support.ts";

/** A fresh migrated database for a scenario, with one destination at the target if there is one. */
export const stageDatabase = (serverUrl: string, scenario: string, target?: string) =>
  openDatabase(serverUrl, `${process.env.POSTRIDER_TEST_RUN ?? "postrider"}_${scenario}`, target);

/** Makes a webhook destination; returns its id. */
export const addWebhook = async (
  pool: pg.Pool,
  given: { url: string; topics: readonly string[]; tenantId?: string; policy?: object },
): Promise<string> => {
  const { rows } = await pool.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), topics => $2, tenant_id => $3, policy => $4) as id`,
    [given.url, given.topics, given.tenantId ?? "default", JSON.stringify(given.policy ?? {})],
  );
  return rows[0].id;
};

/** The payload of what is measured: when it was inserted, in milliseconds since 1970. */
interface Stamped {
  readonly at: number;
}

/** A receiver in this process. It notes when each event came, and how long stamped ones took. */
export const startStampReceiver = async (port = 0) => {
  let latenciesMs: number[] = [];
  let count = 0;
  const arrivedAtMs: number[] = [];
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.once("end", () => {
      const now = Date.now();
      const { at }: Partial<Stamped> = JSON.parse(Buffer.concat(chunks).toString());
      if (at !== undefined) latenciesMs.push(now - at);
      count += 1;
      arrivedAtMs.push(now);
      response.end("ok");
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    count: () => count,
    /** When each came, in milliseconds since 1970. */
    arrivedAtMs: (): readonly number[] => arrivedAtMs,
    /** How many came in the first second, the second, and so on. */
    arrivalsPerSecond: (): readonly number[] => {
      const first = arrivedAtMs[0] ?? 0;
      const counts: number[] = [];
      for (const at of arrivedAtMs) {
        const second = Math.floor((at - first) / 1000);
        counts[second] = (counts[second] ?? 0) + 1;
      }
      return Array.from(counts, (n) => n ?? 0);
    },
    /** The times since the last call. */
    takeLatenciesMs: (): readonly number[] => {
      const taken = latenciesMs;
      latenciesMs = [];
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};

const deadlineMs = 600_000;
const untilPauseMs = 20;

/** Waits until something holds, and says in its error what did not. */
export const until = async (
  what: string,
  holds: () => Promise<boolean> | boolean,
  pauseMs = untilPauseMs,
): Promise<void> => {
  const endsAt = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
    await pause(pauseMs);
  }
};

/** Inserts stamped events one by one, evenly over the seconds, each in a transaction of its own. */
export const insertSteadily = async (
  pool: pg.Pool,
  options: { topic: string; perSecond: number; seconds: number; tenants?: readonly string[] },
): Promise<number> => {
  const { topic, perSecond, seconds, tenants = ["default"] } = options;
  const total = perSecond * seconds;
  const startedAt = performance.now();
  const inserts: Promise<unknown>[] = [];
  for (let n = 0; n < total; n += 1) {
    const dueMs = (n / perSecond) * 1000 - (performance.now() - startedAt);
    if (dueMs > 1) await pause(dueMs);
    const values = [topic, JSON.stringify({ at: Date.now() }), tenants[n % tenants.length]];
    inserts.push(pool.query("insert into outbox.events (topic, payload, tenant_id) values ($1, $2, $3)", values));
  }
  await Promise.all(inserts);
  return total;
};

/** The figure that this share of all figures does not exceed. */
export const percentile = (figures: readonly number[], share: number): number =>
  figures.toSorted((a, b) => a - b)[Math.ceil(figures.length * share) - 1] ?? Number.NaN;

/** Half and 99 in 100 of the times are no longer than these. */
export const percentiles = (timesMs: readonly number[]) => ({
  p50Ms: percentile(timesMs, 0.5),
  p99Ms: percentile(timesMs, 0.99),
});

/** Fails a scenario, with its figures, unless a promise holds. */
export const promise = (holds: boolean, what: string, figures: object): void => {
  if (!holds) throw new Error(`does not hold: ${what}: ${JSON.stringify(figures)}`);
};
