/** A worker played by hand, one call of SQL at a time, for tests of what the calls do. */
import { randomUUID } from "node:crypto";
import type { TestDatabase } from "./database.ts";

type Json = Readonly<Record<string, unknown>>;

export interface ClaimedRow {
  readonly event_id: string;
  readonly subscription_id: string;
  readonly attempt: number;
  readonly payload: string;
  readonly topic: string;
}

export interface HandWorker {
  readonly id: string;
  readonly poolId: string;
  /** Claims deliveries (all that wait, when none are named), and says which it got. */
  claim(deliveries?: readonly DeliveryName[]): Promise<ClaimedRow[]>;
  /** Records how attempts ended: those of the claim, all in the same way. */
  record(claimed: readonly ClaimedRow[], how: Json): Promise<RecordedRow[]>;
  /** Claims what waits and records it. */
  attempt(how: Json): Promise<RecordedRow[]>;
  /** Was never heard of again: its heartbeat is older than the lease. */
  fallSilent(): Promise<void>;
}

export interface DeliveryName {
  readonly event_id: string;
  readonly subscription_id: string;
}

export interface RecordedRow extends DeliveryName {
  readonly status: "pending" | "held" | "dead";
  readonly next_attempt_at: Date | null;
}

export const delivered = { outcome: "delivered", duration_ms: 3 } as const;
export const failedWith = (code = "http_status", more: Json = {}): Json => ({
  outcome: "retry",
  code,
  error: `failed: ${code}`,
  duration_ms: 3,
  ...more,
});

/** Registers a worker. */
export async function startHandWorker(db: TestDatabase): Promise<HandWorker> {
  const id = randomUUID();
  const poolId = `pool-${id}`;
  await db.query("select outbox.register_worker($1, $2, 'host', 1, 'test')", [id, poolId]);
  const pending = () =>
    db.query<DeliveryName>(
      "select event_id, subscription_id from outbox.deliveries where status = 'pending' order by seq",
    );
  const claim = async (deliveries?: readonly DeliveryName[]): Promise<ClaimedRow[]> => {
    const wanted = deliveries ?? (await pending());
    return db.query<ClaimedRow>(
      "select event_id, subscription_id, attempt, payload, topic from outbox.load_deliveries($1, $2, $3) order by event_id",
      [id, wanted.map((delivery) => delivery.event_id), wanted.map((delivery) => delivery.subscription_id)],
    );
  };
  const record = (claimed: readonly ClaimedRow[], how: Json) =>
    db.query<RecordedRow>("select * from outbox.record_attempts($1, $2)", [
      id,
      JSON.stringify(
        claimed.map(({ event_id, subscription_id, attempt }) => ({
          event_id,
          subscription_id,
          number: attempt,
          ...how,
        })),
      ),
    ]);
  return {
    id,
    poolId,
    claim,
    record,
    attempt: async (how) => record(await claim(), how),
    fallSilent: async () => {
      await db.query("update outbox.workers set heartbeat_at = now() - outbox.worker_lease() * 2 where id = $1", [id]);
    },
  };
}
