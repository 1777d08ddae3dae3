import type { Drill } from "../mutant.ts";
import { insertEvents, until } from "../story.ts";

/** Time passes since secrets were given: by now they must be sealed. */
export const secretsAge: Drill = {
  name: "secrets_age",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await startWorker();
    await insertEvents(stage, 1, { tenant: "acme" });
    await until(admin, "not exists (select from outbox.destinations where checked_version <> version)");
    await admin.query("update outbox.destination_secrets set valid_from = valid_from - interval '1 minute'");
  },
};
