/** What several faults need: workers that live, clients of Postgres beside the lines, sinks of a kind, and time that passes. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../random.ts";
import type { Sink, Stage, WorkerOptions, WorkerProcess } from "../stage.ts";

/** A fault lasts so long, for no row or event would tell that it has lasted long enough. */
export const last = (random: Random, msMin: number, msMax: number): Promise<void> => pause(random.whole(msMin, msMax));

/** Workers that live. A fleet without any has lost them by itself. */
export const livingWorkers = ({ fleet }: Stage): readonly WorkerProcess[] => {
  const living = fleet.workers.filter(({ isAlive }) => isAlive);
  if (living.length === 0) throw new Error("no worker lives any more");
  return living;
};

const endMsMax = 20_000;

/** Resolves when it has ended by itself; one that takes too long is killed, and the fault fails. */
export const untilEnded = async (worker: WorkerProcess): Promise<void> => {
  const timer = new AbortController();
  const late = pause(endMsMax, "late" as const, { signal: timer.signal }).catch(() => undefined);
  const first = await Promise.race([worker.ended.then(() => "ended" as const), late]);
  timer.abort();
  if (first === "ended") return;
  worker.signal("SIGKILL");
  throw new Error(`${worker.name} did not end within ${endMsMax / 1000} s: ${worker.logFile}`);
};

const startMsMax = 60_000;
const startAgainAfterMs = 250;

/** Starts a worker, again if it ends before it has joined: Postgres may be away. */
export const startWorker = async ({ fleet }: Stage, options?: WorkerOptions): Promise<WorkerProcess> => {
  for (const since = performance.now(); ; await pause(startAgainAfterMs)) {
    try {
      return await fleet.start(options);
    } catch (error) {
      if (performance.now() - since > startMsMax) throw error;
    }
  }
};

/** Has a further worker work beside the others for a while, and leave in order. */
export const visit = async (stage: Stage, options: WorkerOptions, stay: () => Promise<void>): Promise<void> => {
  const visitor = await startWorker(stage, options);
  try {
    await stay();
  } finally {
    visitor.signal("SIGTERM");
    await untilEnded(visitor);
  }
};

/** A connection of its own, straight to the server. */
export interface Client extends AsyncDisposable {
  readonly query: <Row = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;
}

const connectMsMax = 5_000;

/** Opens a connection; what it has open is rolled back when it is disposed of. */
export const openClient = async ({ cluster }: Stage): Promise<Client> => {
  const client = new pg.Client({ connectionString: cluster.url, connectionTimeoutMillis: connectMsMax });
  client.on("error", () => {});
  await client.connect();
  return {
    query: async <Row>(sql: string, parameters: readonly unknown[] = []) =>
      (await client.query(sql, [...parameters])).rows as Row[],
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  };
};

/** One of the sinks that are webhooks. */
export const pickWebhook = ({ sinks }: Stage, random: Random, suits: (sink: Sink) => boolean = () => true): Sink => {
  const suitable = sinks.all.filter((sink) => sink.type === "webhook" && suits(sink));
  if (suitable.length === 0) throw new Error("no webhook sink suits");
  return random.pick(suitable);
};

/**
 * Events that no trigger saw are of this tenant, and its subscriptions stay as they are: such events are not matched to a
 * subscription that changed since.
 */
export const tenantOfUnseenEvents = ({ sinks }: Stage): string => {
  const [first] = sinks.all.map(({ tenant }) => tenant).sort();
  if (first === undefined) throw new Error("there are no sinks");
  return first;
};

const breakMs = 150;

/** Breaks the connections that workers keep to a sink: the next attempt resolves, connects and shakes hands anew. */
export const breakConnections = async ({ sinks }: Stage, name: string): Promise<void> => {
  try {
    await sinks.behave(name, "resetting");
    await pause(breakMs);
  } finally {
    await sinks.behave(name, "well");
  }
};
