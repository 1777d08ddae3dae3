import type { Drill } from "../mutant.ts";
import { insertEvents, until } from "../story.ts";

const privateAddress = "10.0.0.1";
/** Nobody listens there. */
const publicAddress = "93.184.220.7";

/** One attempt is enough. */
const create = `
  select outbox.create_destination('webhook', $1, tenant_id => 'mallory', policy => '{"schedule_seconds": []}')`;

/** Destinations lead to private addresses: by the address itself, by a name, and by a name with a public address first. */
export const aimedInside: Drill = {
  name: "aimed_inside",
  needs: ["private network"],
  play: async ({ stage, startWorker }) => {
    const { admin, names, sinks } = stage;
    names.set("inside.torture.test", { a: [privateAddress] });
    names.set("mixed.torture.test", { a: [publicAddress, privateAddress] });
    const { url } = await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    for (const host of [privateAddress, "inside.torture.test", "mixed.torture.test"]) {
      const aimed = `http://${host}:${new URL(url).port}/`;
      await admin.query(create, [JSON.stringify({ url: aimed })]);
    }
    await startWorker();
    await insertEvents(stage, 1, { tenant: "acme" });
    await insertEvents(stage, 1, { tenant: "mallory" });
    await until(admin, "not exists (select from outbox.deliveries where status = 'pending')");
  },
};
