/** Producers that go on inserting while the database comes and goes, and note what was acknowledged to them. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";

export interface Producers extends AsyncDisposable {
  /** Ids of the events whose commit was answered. */
  readonly acknowledged: ReadonlySet<string>;
  /** When the last commit was answered. */
  readonly lastAcknowledgedAt: number;
  /** Resolves when all of them have stopped. */
  readonly stop: () => Promise<void>;
}

/** A producer's own work between two events: together they stay below what two cores deliver. */
const thinkMs = 10;
const reconnectMs = 50;

/** Starts producers, each with a connection of its own and one event a transaction. */
export const startProducers = (url: string, connections = 4): Producers => {
  const acknowledged = new Set<string>();
  const stopping = new AbortController();
  let lastAcknowledgedAt = 0;
  let n = 0;

  const produce = async (client: pg.Client): Promise<void> => {
    await client.connect();
    while (!stopping.signal.aborted) {
      const payload = `{"n": ${n++}, "price": 1.10}`;
      const { rows } = await client.query(
        "insert into outbox.events (topic, payload) values ('order.paid', $1) returning id",
        [payload],
      );
      acknowledged.add(rows[0].id);
      lastAcknowledgedAt = performance.now();
      await pause(thinkMs);
    }
  };
  const producePersistently = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => {});
      // What was under way may have been committed or not: the events table knows.
      await produce(client).catch(() => pause(reconnectMs));
      await client.end().catch(() => {});
    }
  };

  const running = Promise.all(Array.from({ length: connections }, producePersistently));
  const stop = async () => {
    stopping.abort();
    await running;
  };
  return {
    acknowledged,
    get lastAcknowledgedAt() {
      return lastAcknowledgedAt;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
};
