/** The producers of the stage: `await using producers = await openProducers({ folder, databaseUrl })`. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ProducerEntry, Producers, ProducersOptions } from "../stage.ts";
import { type Child, startChild } from "./child.ts";
import { createInserter } from "./inserter.ts";
import { createFolderReader } from "./ledger.ts";
import type { ProducerOrder } from "./producer-process.ts";

/** After this a producer that was told to stop is killed; it should be done before. */
const stopWithinMs = 45_000;

/** A name that no run before had: marks and keys begin with it. */
const freshName = (): string => randomBytes(4).toString("hex");

/** Counts what was acknowledged, and keeps all for who reads it later. */
const createLedger = (folder: string) => {
  const reader = createFolderReader<ProducerEntry>(folder, "producer-");
  const sizes = new Map<string, number>();
  let unread: ProducerEntry[] = [];
  let acknowledged = 0;
  const look = (): void => {
    for (const entry of reader.read()) {
      unread.push(entry);
      if (entry.kind === "intent") sizes.set(entry.batch, entry.events.length);
      if (entry.kind === "ack") acknowledged += sizes.get(entry.batch) ?? 0;
      if (entry.kind === "ack" || entry.kind === "reject") sizes.delete(entry.batch);
    }
  };
  return {
    acknowledged: (): number => {
      look();
      return acknowledged;
    },
    read: (): readonly ProducerEntry[] => {
      look();
      const entries = unread;
      unread = [];
      return entries;
    },
  };
};

/** A child that stops in bounded time, whatever it does. */
const stopSoon = async (child: Child): Promise<void> => {
  const timer = setTimeout(() => void child.kill(), stopWithinMs);
  await child.tell({ kind: "stop" } satisfies ProducerOrder).catch(() => {});
  clearTimeout(timer);
  await child.kill();
};

export interface OpenProducersOptions {
  readonly folder: string;
  readonly databaseUrl: string;
}

/** Opens a stage's producers: none runs yet. `read` returns what was written since its last call. */
export const openProducers = async (given: OpenProducersOptions): Promise<Producers & AsyncDisposable> => {
  const { folder, databaseUrl } = given;
  const ledger = createLedger(folder);
  const inserter = createInserter({ name: freshName(), ledger: join(folder, "producer-insert.jsonl"), databaseUrl });
  let children: Child[] = [];

  const start = async (options: ProducersOptions): Promise<void> => {
    const { processes, tenants, styles, eventsPerSecond, eventsMax } = options;
    const run = freshName();
    const started = Array.from({ length: processes }, async (_, n) => {
      const name = `${run}-${n}`;
      const child = startChild("producer-process.ts");
      children.push(child);
      const orders = {
        name,
        seed: n * 1_000,
        ledger: join(folder, `producer-${name}.jsonl`),
        databaseUrl,
        tenants,
        styles,
        eventsPerSecond: eventsPerSecond / processes,
        eventsMax: Math.ceil(eventsMax / processes),
      };
      await child.tell({ kind: "start", orders } satisfies ProducerOrder);
    });
    await Promise.all(started);
  };
  const stop = async (): Promise<void> => {
    const stopped = children;
    children = [];
    await Promise.all(stopped.map(stopSoon));
  };
  return {
    start,
    stop,
    acknowledged: ledger.acknowledged,
    read: ledger.read,
    insert: inserter.insert,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...children.map((child) => child.kill()), inserter[Symbol.asyncDispose]()]);
    },
  };
};
