import type { Admin } from "../../stage.ts";
import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

/** Two workers take jobs as they come: with so many, each gets some. */
const doublesSending = 8;
const doublesDelivered = 2;

const wakeAgain = async ({ query }: Admin, times: number): Promise<void> => {
  for (let n = 0; n < times; n++) {
    await query("select outbox.wake(array[event_id], array[subscription_id]) from outbox.deliveries");
  }
};

/** Deliveries are named by several jobs: while they are being sent, and when they have been delivered. */
export const doubledJobs: Drill = {
  name: "doubled_jobs",
  restSeconds: 30,
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "slow");
    await insertEvents(stage, 20, { tenant: "acme" });
    await Promise.all([startWorker(), startWorker()]);
    await wakeAgain(admin, doublesSending);
    await until(admin, allWereTried);
    await wakeAgain(admin, doublesDelivered);
  },
};
