import type { Drill } from "../mutant.ts";
import { allWereTried, insertEvents, until } from "../story.ts";

const wrong = ["expired", "other_host", "unknown_authority"] as const;

/** Whoever answers cannot show that it is the receiver; then the receiver does. */
export const wrongCertificates: Drill = {
  name: "wrong_certificates",
  needs: ["private network"],
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    for (const certificate of wrong) {
      await sinks.add({ name: certificate, tenant: "acme", topics: ["order.*"], https: true });
      await sinks.present(certificate, certificate);
    }
    await startWorker();
    await insertEvents(stage, 1, { tenant: "acme" });
    await until(admin, allWereTried);
    for (const certificate of wrong) await sinks.present(certificate, "good");
  },
};
