import type { Drill } from "../mutant.ts";
import { insertEvents, untilArrived } from "../story.ts";

const events = 3;

/** A worker is killed while it sends; then another one comes. */
export const workerLost: Drill = {
  name: "worker_lost",
  restSeconds: 18,
  play: async ({ stage, startWorker }) => {
    const { sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "late");
    const lost = await startWorker();
    await insertEvents(stage, events, { tenant: "acme" });
    await untilArrived(stage, "acme", events);
    lost.signal("SIGKILL");
    await lost.ended;
    await sinks.behave("acme", "well");
    await startWorker();
  },
};
