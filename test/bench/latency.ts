/** How long events take from their commit to their arrival, while many tenants insert one now and then. */
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { end, start } from "./support.ts";

/** Milliseconds from commit to arrival. */
export interface Latency {
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface Told {
  readonly arrivals: readonly (readonly [id: string, at: number])[];
  readonly counted: number;
  readonly slow: number;
}

const arrivalMsMax = 300_000;
const now = (): number => performance.timeOrigin + performance.now();

/** A receiver that tells when each event came; see latency-process.ts for its paths. */
export const startLatencyReceiver = async () => {
  const { child, message } = await start("latency-process.ts");
  const arrivedAt = new Map<string, number>();
  let told: Told = { arrivals: [], counted: 0, slow: 0 };
  child.on("message", (news: Told) => {
    told = news;
    for (const [id, at] of news.arrivals) if (!arrivedAt.has(id)) arrivedAt.set(id, at);
  });
  const until = async (what: string, isThere: () => boolean): Promise<void> => {
    const signal = AbortSignal.timeout(arrivalMsMax);
    while (!isThere()) {
      await once(child, "message", { signal }).catch(() => {
        throw new Error(`gave up waiting for ${what}`);
      });
    }
  };
  return {
    url: `http://127.0.0.1:${message.port}`,
    arrivedAt,
    counted: () => told.counted,
    slow: () => told.slow,
    until,
    [Symbol.asyncDispose]: () => end(child),
  };
};

type LatencyReceiver = Awaited<ReturnType<typeof startLatencyReceiver>>;

/** Makes tenants `t1` and so on, each with a destination at the receiver. */
export const addTenants = async (pool: pg.Pool, receiver: LatencyReceiver, tenants: number): Promise<void> => {
  await pool.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1 || '/t/' || n), tenant_id => 't' || n)
     from generate_series(1, $2) as n`,
    [receiver.url, tenants],
  );
};

const summaryOf = (ms: readonly number[]): Latency => {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
  return { events: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
};

export interface Traffic {
  readonly databaseUrl: string;
  readonly receiver: LatencyReceiver;
  readonly tenants: number;
  readonly eventsPerSecond: number;
}

/** The tenants insert in turn, each event in a transaction of its own, until told to stop; all that they inserted must arrive. */
export const startTraffic = ({ databaseUrl, receiver, tenants, eventsPerSecond }: Traffic) => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 8 });
  const committedAt = new Map<string, number>();
  const inserts = new Set<Promise<void>>();
  const startedAt = performance.now();
  let inserted = 0;
  const insertOne = async (): Promise<void> => {
    const { rows } = await pool.query<{ id: string }>({
      name: "insert",
      text: "insert into outbox.events (tenant_id, topic, payload) values ($1, 'order.paid', '{}') returning id",
      values: [`t${(inserted++ % tenants) + 1}`],
    });
    committedAt.set(rows[0]?.id ?? "", now());
  };
  const pace = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1_000) * eventsPerSecond;
    while (inserted < due) {
      const insert = insertOne().finally(() => inserts.delete(insert));
      inserts.add(insert);
    }
  }, 5);
  return {
    /** Stops inserting, and measures what was inserted since. */
    stop: async (): Promise<Latency> => {
      clearInterval(pace);
      await Promise.all(inserts);
      await pool.end();
      const ids = [...committedAt.keys()];
      await receiver.until("the tenants' events", () => ids.every((id) => receiver.arrivedAt.has(id)));
      return summaryOf(ids.map((id) => Math.max((receiver.arrivedAt.get(id) ?? 0) - (committedAt.get(id) ?? 0), 0)));
    },
  };
};

/** The latency of so many seconds of traffic. */
export const measureLatency = async (traffic: Traffic, seconds: number): Promise<Latency> => {
  const running = startTraffic(traffic);
  await wait(seconds * 1_000);
  return running.stop();
};

/** Throws when the others' p99 has more than doubled. */
export const requireAtMostDoubled = (without: Latency, under: Latency): void => {
  if (under.p99Ms > 2 * without.p99Ms) {
    throw new Error(`the others' p99 more than doubled: ${JSON.stringify({ without, under })}`);
  }
};
