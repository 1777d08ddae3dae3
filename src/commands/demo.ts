import type { Command } from "commander";
import { untilStopped } from "../command.ts";

const run = ({ keep }: { readonly keep?: true }): Promise<void> =>
  untilStopped(async (stopped) => {
    const { runDemo } = await import("../demo/demo.ts");
    const held = await runDemo({ keep: keep === true, stopped });
    if (!held) process.exitCode = 1;
  });

/** `postrider demo`: a small shop, real receivers, and each promise checked. */
export const addDemo = (program: Command): void => {
  program
    .command("demo")
    .summary("see it work; needs nothing")
    .description(
      "Starts an embedded Postgres, a worker and three receivers, lets a small shop take orders, and checks what was promised.\n" +
        "Ends by itself within seconds: with 0 when every promise held, else with 1.",
    )
    .option("--keep", "keep the database, to look around with psql")
    .addHelpText("after", "\nExample:\n  $ postrider demo --keep")
    .action(run);
};
