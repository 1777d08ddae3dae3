/** What scenarios share: a database of their own, a receiver that knows when each event came, waiting, and promises. */
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

/** A receiver in this process that notes when each event came. */
export const startArrivalReceiver = async () => {
  const arrivedAtMs: number[] = [];
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    request.resume().once("end", () => {
      arrivedAtMs.push(Date.now());
      response.end("ok");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    count: () => arrivedAtMs.length,
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

/** The figure that this share of all figures does not exceed. */
export const percentile = (figures: readonly number[], share: number): number =>
  figures.toSorted((a, b) => a - b)[Math.ceil(figures.length * share) - 1] ?? Number.NaN;

/** Fails a scenario, with its figures, unless a promise holds. */
export const promise = (holds: boolean, what: string, figures: object): void => {
  if (!holds) throw new Error(`does not hold: ${what}: ${JSON.stringify(figures)}`);
};
