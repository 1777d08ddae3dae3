import { setTimeout as pause } from "node:timers/promises";
import type { Drill } from "../mutant.ts";
import { untilAcknowledged } from "../story.ts";

const events = 150;
const disturbances = 12;
const betweenMs = 120;

/** Producers do not hear of their commits, and insert again what may be there already. */
export const insertedAgain: Drill = {
  name: "inserted_again",
  play: async ({ stage, startWorker }) => {
    const { producers, producerLine, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await startWorker();
    await producers.start({
      processes: 2,
      tenants: ["acme"],
      eventsPerSecond: 60,
      eventsMax: events,
      styles: ["single"],
    });
    for (let n = 0; n < disturbances; n++) {
      producerLine.swallow();
      await pause(betweenMs);
    }
    await producerLine.heal();
    await untilAcknowledged(stage, events);
    await producers.stop();
  },
};
