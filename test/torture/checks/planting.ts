/** What planting a violation takes: a run that holds every promise, and the hands that spoil it. */
import { failedWith } from "../../support/hand_worker.ts";
import type { Produced, Scene } from "./scene.ts";

/** What a run sees that holds every promise. */
export const playWell = async ({ produce, deliver, db, worker }: Scene): Promise<void> => {
  await produce({ outcome: "reject", isStored: false });
  await produce({ outcome: "unknown", isStored: false });
  await produce({ outcome: "none" });
  await produce({ tenant: "globex", topic: "order.sent.late" });
  await produce({ topic: "invoice.paid", amount: 1 });
  await produce({ amount: 499, fanOut: "deferred" });
  const { intended } = await produce({ outcome: "unknown" });
  await produce({ mark: intended.mark, isStored: false });
  await produce({ mark: intended.mark, isStored: false, outcome: "reject" });
  for (const n of [1, 2, 4]) await produce({ key: "a", n });
  await db.query("select outbox.fan_out_deferred()");
  await worker.attempt(failedWith("http_status"));
  await db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");
  await deliver();
};

/** Changes the delivery of an event to a sink. */
export const change = ({ db, sink }: Scene, { id }: Produced, name: string, changes: string): Promise<unknown> =>
  db.query(`update outbox.deliveries set ${changes} where event_id = $1 and subscription_id = $2`, [
    id,
    sink(name).subscriptionId,
  ]);

/** An event with one delivery left, to this sink. */
export const produceFor = async (
  scene: Scene,
  name: string,
  given: Parameters<Scene["produce"]>[0] = {},
): Promise<Produced> => {
  const event = await scene.produce(given);
  await scene.db.query("delete from outbox.deliveries where event_id = $1 and subscription_id <> $2", [
    event.id,
    scene.sink(name).subscriptionId,
  ]);
  return event;
};

export const forgetJobs = ({ db }: Scene): Promise<unknown> => db.query("delete from graphile_worker._private_jobs");

/** Sends an event once more to a sink, beside an attempt that ended so. */
export const sendTwice = async (scene: Scene, firstCode: string): Promise<void> => {
  const { db, produce, worker, deliver, arrive } = scene;
  const event = await produce();
  await worker.attempt(failedWith(firstCode));
  arrive(event, "acme-all");
  await db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");
  await deliver();
};

export const secret = "whsec_bm90aGluZyB0byBzZWUgaGVyZT8+bm90aGluZyE/";
export const conceal = ({ secrets }: Scene): void => void secrets.push(secret);

export const storeSecret = async (scene: Scene, age: string): Promise<void> => {
  conceal(scene);
  await scene.db.query("update outbox.destination_secrets set value = $1, valid_from = now() - $2::interval", [
    secret,
    age,
  ]);
};

/** A violation, and how it comes about. */
export interface Plant {
  readonly what: string;
  /** Also seen while faults go on. */
  readonly isSeenRunning?: boolean;
  readonly plant: (scene: Scene) => Promise<unknown>;
}
