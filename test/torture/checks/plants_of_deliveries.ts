/** Violations that concern whether and how often something arrives. */
import type { CheckName } from "../stage.ts";
import { change, forgetJobs, type Plant, produceFor, sendTwice } from "./planting.ts";

export const plantsOfDeliveries = {
  loss: [
    { what: "an acknowledged event is not in the database", plant: ({ produce }) => produce({ isStored: false }) },
    {
      what: "a delivery was never made, of an event whose commit was not answered",
      plant: async (scene) => {
        await produceFor(scene, "acme-all", { outcome: "unknown" });
        await scene.deliver();
      },
    },
    {
      what: "a delivery is called delivered, and the sink has nothing",
      plant: async ({ produce, deliver }) => {
        await produce();
        await deliver(({ name }) => name !== "acme-large");
      },
    },
    {
      what: "a delivery is dead, and others of its lane wait behind it",
      plant: async (scene) => {
        const event = await scene.produce({ key: "b", n: 1 });
        await scene.produce({ key: "b", n: 2 });
        await change(
          scene,
          event,
          "acme-ordered",
          "status = 'dead', error_code = 'poison', dead_at = now(), finished_at = now(), next_attempt_at = null, job_at = null",
        );
        await scene.deliver();
      },
    },
    {
      what: "a delivery was cancelled",
      plant: async (scene) => {
        const event = await scene.produce();
        await change(scene, event, "acme-all", "status = 'cancelled', error_code = 'cancelled', finished_at = now()");
        await scene.deliver();
      },
    },
  ],
  limbo: [
    {
      what: "a delivery waits and nothing knows of it",
      plant: async (scene) => {
        await scene.produce();
        await forgetJobs(scene);
      },
    },
    {
      what: "the job of a delivery is locked by a pool that nobody has",
      plant: async ({ produce, db }) => {
        await produce();
        await db.query("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'lost'");
      },
    },
    {
      what: "a lost worker has claimed a delivery, and no job names it",
      plant: async (scene) => {
        await scene.produce();
        await scene.worker.claim();
        await scene.worker.fallSilent();
        await forgetJobs(scene);
      },
    },
    {
      what: "a retry is overdue and was never given a job",
      plant: async (scene) => {
        const event = await scene.produce();
        for (const name of ["acme-large", "acme-ordered", "acme-queue"])
          await change(scene, event, name, "job_at = null");
        await scene.db.query(
          "update outbox.deliveries set next_attempt_at = now() - interval '5 s' where status = 'pending'",
        );
        await forgetJobs(scene);
      },
    },
    {
      what: "the first of a lane is held for its order, and others behind it",
      plant: async (scene) => {
        const events = [await scene.produce({ key: "b", n: 1 }), await scene.produce({ key: "b", n: 2 })];
        for (const event of events) {
          await change(scene, event, "acme-ordered", "status = 'held', held_at = now(), held_reason = 'lane'");
        }
        await scene.deliver();
      },
    },
    {
      what: "a delivery is held for a circuit that is closed",
      plant: async (scene) => {
        const event = await scene.produce();
        await change(scene, event, "acme-all", "status = 'held', held_at = now(), held_reason = 'circuit_open'");
        await scene.deliver();
      },
    },
    {
      what: "the probe of a circuit is overdue",
      plant: async (scene) => {
        const event = await scene.produce();
        await change(scene, event, "acme-all", "status = 'held', held_at = now(), held_reason = 'circuit_open'");
        await scene.deliver();
        await scene.db.query(
          "insert into outbox.holds (destination_id, reason, next_probe_at) values ($1, 'circuit_open', now() - interval '5 s')",
          [scene.sink("acme-all").destinationId],
        );
      },
    },
  ],
  phantom: [
    {
      what: "an event arrives that was rolled back",
      isSeenRunning: true,
      plant: async ({ produce, deliver }) => {
        await produce({ outcome: "reject" });
        await deliver();
      },
    },
    {
      what: "an event arrives that no producer knows",
      isSeenRunning: true,
      plant: async ({ produce, deliver }) => {
        await produce({ isIntended: false, outcome: "none" });
        await deliver();
      },
    },
    {
      what: "an event arrives that is not in the database",
      isSeenRunning: true,
      plant: async ({ produce, arrive }) => arrive(await produce({ outcome: "unknown", isStored: false }), "acme-all"),
    },
    {
      what: "an event arrives that the filter leaves out",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce({ amount: 499 });
        await deliver();
        arrive(event, "acme-large");
      },
    },
  ],
  duplicates: [
    {
      what: "an event arrives again beside an attempt that was refused",
      isSeenRunning: true,
      plant: (scene) => sendTwice(scene, "http_status"),
    },
    {
      what: "an event arrives again after it was delivered, with an attempt of its own",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive, db, sink }) => {
        const event = await produce();
        await deliver();
        arrive(event, "acme-all");
        await db.query(
          `insert into outbox.attempts (event_id, subscription_id, number, outcome, started_at, trigger, worker_id, destination_id)
           select event_id, subscription_id, 2, outcome, started_at, 'retry', worker_id, destination_id
           from outbox.attempts where event_id = $1 and subscription_id = $2`,
          [event.id, sink("acme-all").subscriptionId],
        );
      },
    },
    {
      what: "a dedupe key stands for two events",
      isSeenRunning: true,
      plant: async ({ produce, deliver }) => {
        const { intended } = await produce({ key: "b", n: 7, outcome: "unknown" });
        await produce({ key: "b", n: 7, mark: intended.mark });
        await deliver();
      },
    },
  ],
  evidence: [
    {
      what: "an event arrives twice in one attempt",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce();
        await deliver();
        arrive(event, "acme-all");
      },
    },
    {
      what: "a delivery is delivered without an attempt",
      isSeenRunning: true,
      plant: async ({ produce, deliver, db }) => {
        const { id } = await produce();
        await deliver();
        await db.query("delete from outbox.attempts where event_id = $1", [id]);
      },
    },
    {
      what: "an event arrives for which there is no delivery",
      isSeenRunning: true,
      plant: async (scene) => {
        const event = await scene.produce();
        await scene.deliver();
        await scene.db.query("delete from outbox.deliveries where event_id = $1 and subscription_id = $2", [
          event.id,
          scene.sink("acme-queue").subscriptionId,
        ]);
      },
    },
  ],
} as const satisfies Partial<Readonly<Record<CheckName, readonly Plant[]>>>;
