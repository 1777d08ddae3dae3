import type { Drill } from "../mutant.ts";
import { insertEvents } from "../story.ts";

/** Postgres is killed right after commits; the workers come later. */
export const serverKilled: Drill = {
  name: "server_killed",
  needs: ["own cluster"],
  play: async ({ stage, startWorker }) => {
    await stage.sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await stage.admin.query("checkpoint");
    await insertEvents(stage, 20, { tenant: "acme" });
    await stage.cluster.stop("kill");
    await stage.cluster.start();
    await startWorker();
  },
};
