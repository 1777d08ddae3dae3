/**
 * A Postgres of our own with a worker that may send to http and to this machine: what `dev` and `demo` run on, and
 * nothing for production.
 */
import { parseAllowedNetworks } from "./addresses.ts";
import type { Config } from "./config.ts";
import { type EmbeddedOptions, startPostgres } from "./embedded.ts";
import type { Log } from "./log.ts";
import { migrate } from "./migrate.ts";
import { startWorker } from "./worker.ts";

/** What runs. It ends when it is disposed of: the worker first. */
export interface Development extends AsyncDisposable {
  /** The database, as its superuser. */
  readonly url: string;
  readonly dataDir: string;
  /** How many changes `migrate` made. */
  readonly applied: number;
}

export interface DevelopmentOptions {
  readonly postgres: EmbeddedOptions;
  readonly config: Config;
  readonly log?: Log;
}

const loopback = "127.0.0.0/8 ::1/128";

/** Starts a Postgres, migrates it and starts a worker. What was started before a failure is stopped again. */
export const openDevelopment = async ({ postgres, config, log }: DevelopmentOptions): Promise<Development> => {
  await using stack = new AsyncDisposableStack();
  const { url, dataDir } = stack.use(await startPostgres(postgres));
  const { pending } = await migrate({ connectionString: url });
  const allowedNetworks = [...config.allowedNetworks, ...parseAllowedNetworks(loopback)];
  stack.use(
    await startWorker({
      config: { ...config, allowHttp: true, allowedNetworks },
      connectionString: url,
      ...(log !== undefined && { log }),
    }),
  );
  const open = stack.move();
  return { url, dataDir, applied: pending.length, [Symbol.asyncDispose]: () => open.disposeAsync() };
};
