import type { Drill } from "../mutant.ts";
import { insertEvents, until, untilArrived } from "../story.ts";

const isDelivered = "not exists (select from outbox.deliveries where status <> 'delivered')";
const zombieHasSpoken = "exists (select from outbox.attempts where late or number > 2)";
const takenOverSeconds = 25;

/** A worker is frozen in the middle of a delivery for longer than its lease, another one does its work, and it wakes up. */
export const zombie: Drill = {
  name: "zombie",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await sinks.behave("acme", "late");
    const frozen = await startWorker();
    await insertEvents(stage, 1, { tenant: "acme" });
    await untilArrived(stage, "acme", 1);
    frozen.signal("SIGSTOP");
    // Whatever it hears when it wakes up, it is no success.
    await sinks.kill("acme");
    await sinks.behave("acme", "well");
    await sinks.start("acme");
    await startWorker();
    await until(admin, isDelivered, [], takenOverSeconds);
    frozen.signal("SIGCONT");
    await until(admin, zombieHasSpoken);
  },
};
