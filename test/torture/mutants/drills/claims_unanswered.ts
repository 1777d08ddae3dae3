import { setTimeout as pause } from "node:timers/promises";
import type { Drill } from "../mutant.ts";
import { insertEvents } from "../story.ts";

const events = 100;
const disturbances = 30;
const betweenMs = 80;

/** Again and again the answers to claims are lost: they were made, and the worker does not know. */
export const claimsUnanswered: Drill = {
  name: "claims_unanswered",
  play: async ({ stage, startWorker }) => {
    const { line, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "slow");
    await insertEvents(stage, events, { tenant: "acme" });
    // Few at a time, so that it goes on claiming, for jobs that it has fetched already.
    await startWorker({ env: { POSTRIDER_IN_FLIGHT: "20" } });
    for (let n = 0; n < disturbances; n++) {
      line.swallow();
      await pause(betweenMs);
    }
    await sinks.behave("acme", "well");
    await line.heal();
  },
};
