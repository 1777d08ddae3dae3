/** A stage that is written by hand: a real database, and ledgers that say whatever a test wants them to. */
import { hash, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestDatabase, testDatabase } from "../../support/database.ts";
import { addDestination, addEvent } from "../../support/factory.ts";
import { delivered, type HandWorker, startHandWorker } from "../../support/hand_worker.ts";
import type { CanaryEntry, IntendedEvent, ProducerEntry, Sink, SinkEntry, SinkOptions } from "../stage.ts";
import type { CheckerInput } from "./books.ts";

/** What is produced: an acknowledged event of acme that everybody of acme wants, unless it says otherwise. */
export interface Given {
  readonly tenant?: string;
  readonly topic?: string;
  readonly amount?: number;
  readonly key?: string;
  readonly n?: number;
  /** Of a batch before; inserted again. */
  readonly mark?: string;
  readonly outcome?: "ack" | "reject" | "unknown" | "none";
  /** Whether it is in the database. */
  readonly isStored?: boolean;
  /** Whether the producer has written it down. */
  readonly isIntended?: boolean;
  readonly fanOut?: "immediate" | "deferred";
}

export interface Produced {
  readonly id: string;
  readonly intended: IntendedEvent;
}

const options: readonly SinkOptions[] = [
  { name: "acme-all", tenant: "acme", topics: ["order.*"] },
  { name: "acme-large", tenant: "acme", topics: ["order.paid"], amountMin: 500 },
  { name: "acme-ordered", tenant: "acme", topics: ["order.paid"], ordered: true },
  { name: "acme-queue", tenant: "acme", topics: ["*"], type: "rabbitmq" },
  { name: "globex-all", tenant: "globex", topics: ["order.*"] },
];

const openSink = async (db: TestDatabase, { name, tenant, topics, amountMin, ordered, type }: SinkOptions) => {
  const filter = amountMin === undefined ? {} : { filter: { amount: { $gte: amountMin } } };
  const made = await addDestination(db, { name, tenantId: tenant, topics, ordered: ordered ?? false, ...filter });
  const sink: Sink = {
    name,
    tenant,
    topics,
    ...(amountMin === undefined ? {} : { amountMin }),
    type: type ?? "webhook",
    ordered: ordered ?? false,
    destinationId: made.id,
    subscriptionId: made.subscriptionId,
    url: "https://example.com/hook",
  };
  return sink;
};

export interface Scene extends AsyncDisposable {
  readonly db: TestDatabase;
  readonly worker: HandWorker;
  readonly input: CheckerInput;
  readonly canaries: CanaryEntry[];
  /** Secrets that must be read nowhere. */
  readonly secrets: string[];
  /** Of the only worker. */
  readonly logFile: string;
  readonly sink: (name: string) => Sink;
  readonly produce: (given?: Given) => Promise<Produced>;
  /** Writes into the ledger of a sink. */
  readonly arrive: (event: Produced, sink: string, changes?: Partial<SinkEntry>) => void;
  /** Delivers all that waits, by the book; what `hasArrived` says no to is not written down by its sink. */
  readonly deliver: (hasArrived?: (sink: Sink) => boolean) => Promise<void>;
}

/** Opens a scene with the sinks of two tenants. */
export const openScene = async (): Promise<Scene> => {
  const db = await testDatabase();
  const folder = await mkdtemp(join(tmpdir(), "postrider_scene_"));
  const [logFile, clusterLog] = [join(folder, "worker.log"), join(folder, "postgres.log")];
  for (const file of [logFile, clusterLog]) await writeFile(file, "nothing\n");
  const worker = await startHandWorker(db);
  const sinks: Sink[] = [];
  for (const each of options) sinks.push(await openSink(db, each));
  const produced = new Map<string, Produced>();
  const producerEntries: ProducerEntry[] = [];
  const sinkEntries: SinkEntry[] = [];
  const canaries: CanaryEntry[] = [];
  const secrets: string[] = [];

  const produce = async (given: Given = {}): Promise<Produced> => {
    const { tenant = "acme", topic = "order.paid", amount = 900, n = 1, key, mark = randomUUID() } = given;
    const payload = JSON.stringify({ mark, tenant, n, amount, key });
    const intended = {
      mark,
      tenant,
      topic,
      n,
      amount,
      hash: hash("sha256", payload),
      ...(key !== undefined && { key }),
    };
    const [batch, at] = [randomUUID(), Date.now()];
    if (given.isIntended !== false) producerEntries.push({ kind: "intent", at, batch, events: [intended] });
    const { isStored = true, outcome = "ack", fanOut = "immediate" } = given;
    let id: string = randomUUID();
    if (isStored) {
      await using client = await db.client();
      await client.query(`set outbox.fan_out = '${fanOut}'`);
      ({ id } = await addEvent(client, { tenant_id: tenant, topic, key, payload }));
    }
    if (outcome !== "none") producerEntries.push({ kind: outcome, at, batch });
    produced.set(id, { id, intended });
    return { id, intended };
  };
  const arrive: Scene["arrive"] = ({ id, intended }, name, changes = {}) => {
    const { mark, tenant, key = "", n } = intended;
    const signature = sink(name).type === "webhook" ? "good" : "none";
    sinkEntries.push({
      at: Date.now(),
      sink: name,
      id,
      mark,
      tenant,
      key,
      n,
      hash: intended.hash,
      signature,
      ...changes,
    });
  };
  const deliver: Scene["deliver"] = async (hasArrived = () => true) => {
    for (let claimed = await worker.claim(); claimed.length > 0; claimed = await worker.claim()) {
      for (const { event_id, subscription_id } of claimed) {
        const to = sinks.find(({ subscriptionId }) => subscriptionId === subscription_id);
        const event = produced.get(event_id);
        if (to !== undefined && event !== undefined && hasArrived(to)) arrive(event, to.name);
      }
      await worker.record(claimed, delivered);
    }
    await db.query("delete from graphile_worker._private_jobs");
  };
  const sink = (name: string): Sink => {
    const found = sinks.find((each) => each.name === name);
    if (found === undefined) throw new Error(`There is no sink ${name}`);
    return found;
  };
  return {
    db,
    worker,
    canaries,
    secrets,
    logFile,
    sink,
    produce,
    arrive,
    deliver,
    input: {
      admin: {
        query: async <Row>(sql: string, parameters: readonly unknown[] = []) =>
          (await db.query(sql, [...parameters])) as Row[],
      },
      sinks: { all: sinks, read: () => sinkEntries.splice(0) },
      producers: { read: () => producerEntries.splice(0) },
      canaries: () => canaries.splice(0),
      secrets,
      cluster: { logFile: clusterLog },
      fleet: { workers: [{ logFile }] },
    },
    [Symbol.asyncDispose]: async () => {
      await db[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
};
