import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { say, untilStopped } from "../command.ts";

interface Options {
  readonly port?: number;
  readonly data: string;
}

const portMax = 65_535;

const portNumber = (text: string): number => {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= portMax) return port;
  throw new InvalidArgumentError(`It is a number from 1 to ${portMax}.`);
};

/** The folder holds the server's password: it does not belong into anybody's repository. */
const hideFromGit = (folder: string): Promise<void> =>
  writeFile(join(folder, ".gitignore"), "*\n", { flag: "wx" }).catch(() => {});

const serve = async ({ port, data }: Options, stopped: Promise<unknown>): Promise<void> => {
  const { readConfig } = await import("../config.ts");
  const { openDevelopment } = await import("../development.ts");
  const config = readConfig();
  // Who develops wants to see what was delivered, too.
  const logLevel = config.logLevel === "info" ? "debug" : config.logLevel;
  await using development = await openDevelopment({
    postgres: { dataDir: data, ...(port !== undefined && { port }) },
    config: { ...config, logLevel },
  });
  const { url, dataDir } = development;
  await hideFromGit(dataDir);
  say(`Postgres  ${url}`);
  say(`Data      ${dataDir}, kept until you delete it`);
  say("Worker    may send to http and to this machine: for development only");
  say(`Try       psql ${url} -c "insert into outbox.events (topic, payload) values ('order.paid', '{}')"`);
  say("ready");
  await stopped;
  say("Stopping: what is being sent may end first.");
};

/** `postrider dev`: a Postgres with a worker, for development. */
export const addDev = (program: Command): void => {
  program
    .command("dev")
    .summary("a Postgres with a worker, for development")
    .description(
      "Starts an embedded Postgres whose data stays, migrated, with a worker that may send to http and to this machine.\n" +
        "Prints the connection string, then ready. Ctrl-C stops all of it.",
    )
    .option("--port <number>", "where Postgres listens (default: as the last time, else a free one)", portNumber)
    .option("--data <folder>", "where its data lies", ".postrider")
    .addHelpText("after", "\nExample:\n  $ postrider dev --port 5433")
    .action((options: Options) => untilStopped((stopped) => serve(options, stopped)));
};
