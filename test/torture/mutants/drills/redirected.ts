import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

/** A receiver sends us to a forbidden address; then it is well. */
export const redirected: Drill = {
  name: "redirected",
  needs: ["private network"],
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "redirecting");
    await startWorker();
    await insertEvents(stage, 1, { tenant: "acme" });
    await until(admin, allWereTried);
    await sinks.behave("acme", "well");
  },
};
