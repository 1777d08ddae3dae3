import type { Manner } from "../../stage.ts";
import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

const manners: readonly Manner[] = ["failing", "resetting", "dripping", "garbage"];

/** Receivers refuse, break off, take for ever and talk nonsense; then they are well. */
export const badAnswers: Drill = {
  name: "bad_answers",
  play: async ({ stage, startWorker }) => {
    for (const manner of manners) {
      await stage.sinks.add({ name: manner, tenant: "acme", topics: ["order.*"], policy: { timeout_seconds: 1 } });
      await stage.sinks.behave(manner, manner);
    }
    await startWorker();
    await insertEvents(stage, 3, { tenant: "acme" });
    try {
      await until(stage.admin, allWereTried, [], 6);
    } finally {
      for (const manner of manners) await stage.sinks.behave(manner, "well");
    }
  },
};
