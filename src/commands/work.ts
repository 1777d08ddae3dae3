import type { Command } from "commander";
import { addDatabaseOption, readSettings, untilStopped } from "../command.ts";

const run = (options: { readonly databaseUrl?: string }): Promise<void> =>
  untilStopped(async (stopped) => {
    const settings = await readSettings(options);
    const { startWorker } = await import("../worker.ts");
    await using _worker = await startWorker(settings);
    await stopped;
  });

/** `postrider work`: delivers until it is stopped. */
export const addWork = (program: Command): void => {
  addDatabaseOption(program.command("work"))
    .summary("deliver, until stopped")
    .description(
      "Delivers events: one worker process. Start as many as you like, on any machines. It migrates the database if that is\n" +
        "behind, and logs each attempt in a line of JSON. SIGTERM and SIGINT stop it as soon as what is being sent has ended\n" +
        "(10 s at most); a second signal stops it at once.",
    )
    .addHelpText(
      "after",
      `
Environment:
  POSTRIDER_KEYS             keys that seal secrets: k1:$(openssl rand -base64 32)
  POSTRIDER_ALLOW_HTTP       true: destinations may use http (default: https only)
  POSTRIDER_ALLOW_ASSUME_ROLE  true: destinations may name a cloud role that this worker takes on
  POSTRIDER_ALLOW_NETWORKS   private networks that destinations may reach: 10.1.0.0/16,127.0.0.1/32
  POSTRIDER_DNS_SERVERS      name servers to ask instead of the system's: 10.0.0.2,[::1]:5353
  POSTRIDER_IN_FLIGHT        deliveries that are sent at the same time (default: 512)
  POSTRIDER_RETENTION_DAYS   days after which finished events are forgotten (default: 30)
  POSTRIDER_LOG_LEVEL        debug, info, warn, error or silent (default: info)

Example:
  $ DATABASE_URL=postgres://worker@db.internal/shop postrider work`,
    )
    .action(run);
};
