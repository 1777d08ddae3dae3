import type { Drill } from "../mutant.ts";
import { untilAcknowledged } from "../story.ts";

const events = 120;
const tenants = ["acme", "globex"];

/** Nothing goes wrong: two tenants, subscriptions with prefixes and filters, several ways to insert. */
export const marketDay: Drill = {
  name: "market_day",
  restSeconds: 6,
  play: async ({ stage, startWorker }) => {
    const { producers, sinks } = stage;
    for (const tenant of tenants) {
      await sinks.add({ name: `${tenant}-all`, tenant, topics: ["order.*"] });
      await sinks.add({ name: `${tenant}-large`, tenant, topics: ["order.paid"], amountMin: 500 });
    }
    await startWorker();
    await producers.start({
      processes: 1,
      tenants,
      eventsPerSecond: 150,
      eventsMax: events,
      styles: ["single", "rows", "copy", "deferred"],
    });
    await untilAcknowledged(stage, events);
    await producers.stop();
  },
};
