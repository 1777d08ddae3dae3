import type { Drill } from "../mutant.ts";
import { insertEvents, until, untilArrived } from "../story.ts";

const events = 3;
const allWereAnswered =
  "not exists (select from outbox.deliveries where last_attempt_at > clock_timestamp() - interval '2 seconds')";

/** The database goes away while answers are awaited, and comes back when they are there. */
export const databaseAway: Drill = {
  name: "database_away",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks, line } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "slow");
    await startWorker();
    await insertEvents(stage, events, { tenant: "acme" });
    await untilArrived(stage, "acme", events);
    await line.refuse();
    await until(admin, allWereAnswered);
    await line.heal();
  },
};
