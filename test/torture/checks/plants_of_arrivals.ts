/** Violations that concern what arrives where, what is told of it, and when. */
import { appendFile } from "node:fs/promises";
import type { CheckName } from "../stage.ts";
import { change, conceal, forgetJobs, type Plant, secret, storeSecret } from "./planting.ts";

export const plantsOfArrivals = {
  tenants: [
    {
      what: "an event arrives at another tenant's sink, and not at its own",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce({ tenant: "globex" });
        await deliver(({ name }) => name !== "globex-all");
        arrive(event, "acme-all", { signature: "bad" });
      },
    },
  ],
  forbidden: [
    {
      what: "somebody has connected to a forbidden address",
      isSeenRunning: true,
      plant: async ({ canaries }) => canaries.push({ at: Date.now(), address: "169.254.169.254", port: 80 }),
    },
  ],
  secrets: [
    {
      what: "a worker logs a secret",
      plant: async (scene) => {
        conceal(scene);
        await appendFile(scene.logFile, `{"level":20,"msg":"signing with ${secret}"}\n`);
      },
    },
    {
      what: "a worker logs a secret within something that is base64",
      plant: async (scene) => {
        conceal(scene);
        await appendFile(scene.logFile, Buffer.from(`user:${secret}!`).toString("base64"));
      },
    },
    {
      what: "the error of an attempt tells a secret",
      plant: async (scene) => {
        conceal(scene);
        await scene.db.query("update outbox.attempts set error = 'GET /?token=' || $1", [encodeURIComponent(secret)]);
      },
    },
    {
      what: "a job has a secret in it",
      plant: async (scene) => {
        conceal(scene);
        await scene.db.query("select graphile_worker.add_job('other', json_build_object('secret', $1::text))", [
          secret,
        ]);
      },
    },
    { what: "a secret was not sealed", plant: (scene) => storeSecret(scene, "31 s") },
  ],
  liveness: [
    { what: "a delivery still waits for its job", plant: ({ produce }) => produce() },
    {
      what: "a delivery is claimed by a worker that lives, and others of its lane are behind it",
      plant: async (scene) => {
        await scene.produce({ key: "b", n: 1 });
        await scene.produce({ key: "b", n: 2 });
        await scene.worker.claim();
        await forgetJobs(scene);
      },
    },
    {
      what: "a delivery is held for a circuit that will be probed",
      plant: async (scene) => {
        const event = await scene.produce();
        await change(scene, event, "acme-all", "status = 'held', held_at = now(), held_reason = 'circuit_open'");
        await scene.deliver();
        await scene.db.query(
          "insert into outbox.holds (destination_id, reason, next_probe_at) values ($1, 'circuit_open', now() + interval '5 s')",
          [scene.sink("acme-all").destinationId],
        );
      },
    },
    { what: "an event still waits for its fan-out", plant: ({ produce }) => produce({ fanOut: "deferred" }) },
  ],
  bytes: [
    {
      what: "an event arrives with other bytes, and nothing to know it by but its id",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce();
        await deliver(({ name }) => name !== "acme-all");
        arrive(event, "acme-all", { hash: "other", mark: "" });
      },
    },
    {
      what: "an event arrives with a bad signature",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce();
        await deliver(({ name }) => name !== "acme-all");
        arrive(event, "acme-all", { signature: "bad" });
      },
    },
    {
      what: "an event arrives at a webhook without a signature",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const event = await produce();
        await deliver(({ name }) => name !== "acme-all");
        arrive(event, "acme-all", { signature: "none" });
      },
    },
  ],
  order: [
    {
      what: "the second of a key arrives before the first",
      isSeenRunning: true,
      plant: async ({ produce, deliver, arrive }) => {
        const [first, second] = [await produce({ key: "b", n: 1 }), await produce({ key: "b", n: 2 })];
        await deliver(({ name }) => name !== "acme-ordered");
        for (const event of [second, first]) arrive(event, "acme-ordered");
      },
    },
  ],
} as const satisfies Partial<Readonly<Record<CheckName, readonly Plant[]>>>;
