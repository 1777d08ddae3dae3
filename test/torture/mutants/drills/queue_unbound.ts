import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

const update = "select outbox.update_destination($1, config => $2)";

/** For a while the destination publishes to where no queue is bound. */
export const queueUnbound: Drill = {
  name: "queue_unbound",
  needs: ["broker"],
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    const { destinationId } = await sinks.add({ name: "acme", type: "rabbitmq", tenant: "acme", topics: ["order.*"] });
    const [row] = await admin.query<{ config: object }>("select config from outbox.destinations where id = $1", [
      destinationId,
    ]);
    const unbound = { ...row?.config, exchange: "", routing_key: "no-such-queue" };
    await admin.query(update, [destinationId, JSON.stringify(unbound)]);
    await startWorker();
    await insertEvents(stage, 3, { tenant: "acme" });
    await until(admin, allWereTried);
    await admin.query(update, [destinationId, JSON.stringify(row?.config)]);
  },
};
