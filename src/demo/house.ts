/** What the demo runs on: a Postgres with a worker, in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { readConfig } from "../config.ts";
import { type Development, openDevelopment } from "../development.ts";
import { createLog } from "../log.ts";
import { readServer } from "../queries/server.ts";

export interface House extends Development {
  /** The version of Postgres. */
  readonly version: string;
  /** The connection of the shop, and of who watches it. */
  readonly client: pg.Client;
}

const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 10 });

/** Starts everything; unless it is to be kept, all of it is removed at the end, and after a failure. */
export const openHouse = async ({ keep }: { readonly keep: boolean }): Promise<House> => {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "postrider-demo-"));
  if (!keep) stack.defer(() => remove(folder));
  const development = await openDevelopment({
    postgres: { dataDir: folder, durable: keep },
    // The user's environment decides nothing here, except how much is logged.
    config: readConfig({}),
    log: createLog(readConfig().logLevel === "debug" ? "debug" : "silent"),
  });
  // Where Postgres may not go into the folder, its files lie elsewhere.
  if (!keep) stack.defer(() => remove(development.dataDir));
  stack.use(development);
  const client = stack.adopt(new pg.Client(development.url), (open) => open.end());
  await client.connect();
  const { version } = await readServer(client);
  const open = stack.move();
  return { ...development, version, client, [Symbol.asyncDispose]: () => open.disposeAsync() };
};
