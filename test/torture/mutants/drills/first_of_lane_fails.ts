import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

/** The retry of the first comes late. Where there is a limit, a worker does not take the next ones along by itself. */
const policy = {
  exponential: { base_seconds: 3, factor: 1, cap_seconds: 3, attempts: 100 },
  in_flight_max: 100,
};

/** The first of a lane waits for its retry while the next ones come. */
export const firstOfLaneFails: Drill = {
  name: "first_of_lane_fails",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"], ordered: true, policy });
    await sinks.behave("acme", "failing");
    await startWorker();
    await insertEvents(stage, 1, { tenant: "acme", key: "order-1" });
    await until(admin, allWereTried);
    await sinks.behave("acme", "well");
    await insertEvents(stage, 5, { tenant: "acme", key: "order-1" });
  },
};
