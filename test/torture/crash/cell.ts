/**
 * A database in which workers crash one after another, and each finishes what the one before left. Between two crashes all
 * comes to rest.
 */
import { join } from "node:path";
import pg from "pg";
import { within } from "../../chaos/support/ledger.ts";
import { ask } from "../../support/server.ts";
import { type DoomedWorker, startDoomed } from "./doomed.ts";
import { openTap, type Tap } from "./tap.ts";

export interface CellOptions {
  readonly name: string;
  readonly serverUrl: string;
  /** A migrated database. */
  readonly template: string;
  /** Of the package with fail points. */
  readonly packageDir: string;
  /** For logs. */
  readonly folder: string;
  /** Where destinations lead. */
  readonly receiverUrl: string;
  /** Of the workers. */
  readonly env: Readonly<Record<string, string>>;
}

/** What is left to do, or was left behind. */
type Leftovers = Readonly<Record<string, number>>;

export interface Cell extends AsyncDisposable {
  readonly tap: Tap;
  readonly logFile: string;
  readonly query: <Row>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;
  /**
   * The worker that lives, else a new one, when all is at rest and (unless none are wanted) there are destinations that no
   * event has gone to.
   * @throws an error that says what is left when there is no rest
   */
  readonly ready: (wantsDestinations?: boolean) => Promise<DoomedWorker>;
  /** The topic of the present destinations, which are used up by this. */
  readonly useTopic: (isOrdered: boolean) => string;
  readonly isAtRest: () => Promise<boolean>;
  /** The worker has ended: waits until Postgres knows, and lets its lease run out. @returns what the worker still held */
  readonly bury: () => Promise<Leftovers>;
}

const policy = {
  exponential: { base_seconds: 0.1, factor: 1, cap_seconds: 0.1, attempts: 50 },
  jitter: 0,
  timeout_seconds: 15,
};

/** Faults of our own are tried again after up to 10 s, and up to 20 s the next time. */
const restMsMax = 45_000;
const endMsMax = 10_000;

export const urlOf = (serverUrl: string, database: string, port?: number): string => {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  if (port !== undefined) url.port = String(port);
  return url.href;
};

const leftoversSql = `
  select
    (select count(*)::integer from outbox.deliveries where status <> 'delivered') as undelivered,
    (select count(*)::integer from outbox.deliveries where claimed_by is not null) as claimed,
    (select count(*)::integer from graphile_worker._private_jobs where locked_by is not null) as "locked jobs",
    (select count(*)::integer from graphile_worker._private_jobs) as jobs,
    (select count(*)::integer from outbox.workers) as workers,
    (select count(*)::integer from outbox.destinations where checked_version <> version) as unchecked`;

const nonZero = (leftovers: Leftovers): Leftovers =>
  Object.fromEntries(Object.entries(leftovers).filter(([, count]) => count > 0));

/** Opens a cell without a worker. */
export const openCell = async (options: CellOptions): Promise<Cell> => {
  const { name, serverUrl, folder, receiverUrl } = options;
  await using opened = new AsyncDisposableStack();
  await ask(serverUrl, `create database ${name} template ${options.template}`);
  opened.defer(async () => void (await ask(serverUrl, `drop database ${name} with (force)`)));
  const url = urlOf(serverUrl, name);
  const pool = opened.adopt(new pg.Pool({ connectionString: url, max: 2 }), (each) => each.end());
  pool.on("error", () => {});
  const query = async <Row>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> =>
    (await pool.query(sql, [...parameters])).rows as Row[];
  await query("select outbox.confirm_instance()");
  const isJobReady = async (): Promise<boolean> => {
    const [row] = await query<{ ready: boolean }>(
      "select exists (select from graphile_worker._private_jobs where locked_by is null and run_at <= now()) as ready",
    );
    return row?.ready === true;
  };
  const { hostname: host, port } = new URL(serverUrl);
  const tap = opened.use(await openTap({ host, port: Number(port), isJobReady }));
  const logFile = join(folder, `${name}.log`);
  const start = (): Promise<DoomedWorker> =>
    startDoomed({ ...options, logFile, env: { ...options.env, DATABASE_URL: urlOf(serverUrl, name, tap.port) } });

  let worker: DoomedWorker | undefined;
  let destinations = 0;
  let isUsed = true;
  const renewDestinations = async (): Promise<void> => {
    destinations += 1;
    isUsed = false;
    await query(
      `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), policy => $2,
         topics => array[format('crash.%s_%s', case when ordered then 'ordered' else 'plain' end, $3::integer)], ordered => ordered)
       from unnest('{true,false}'::boolean[]) as ordered`,
      [receiverUrl, JSON.stringify(policy), destinations],
    );
  };
  const leftovers = async (): Promise<Leftovers> => (await query<Leftovers>(leftoversSql))[0] ?? {};
  const isAtRest = async (): Promise<boolean> => {
    const { workers, ...others } = await leftovers();
    return workers === 1 && Object.keys(nonZero(others)).length === 0;
  };
  opened.defer(async () => {
    worker?.signal("SIGKILL");
    await worker?.ended;
  });
  const parts = opened.move();
  return {
    tap,
    logFile,
    query,
    isAtRest,
    ready: async (wantsDestinations = true) => {
      if (wantsDestinations && isUsed) await renewDestinations();
      if (worker?.isAlive !== true) worker = await start();
      await within(restMsMax, "at rest", isAtRest).catch(async () => {
        throw new Error(`no rest after ${restMsMax / 1000} s: ${JSON.stringify(nonZero(await leftovers()))}`);
      });
      return worker;
    },
    useTopic: (isOrdered) => {
      isUsed = true;
      return `crash.${isOrdered ? "ordered" : "plain"}_${destinations}`;
    },
    bury: async () => {
      await within(endMsMax, "Postgres knows that the worker is gone", async () => {
        const backends = await query(
          "select from pg_stat_activity where datname = current_database() and starts_with(application_name, 'postrider')",
        );
        return backends.length === 0;
      });
      const { undelivered: _undelivered, jobs: _jobs, unchecked: _unchecked, ...held } = await leftovers();
      await query("update outbox.workers set heartbeat_at = heartbeat_at - 2 * outbox.worker_lease()");
      return nonZero(held);
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
