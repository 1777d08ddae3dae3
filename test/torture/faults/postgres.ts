/** Postgres that crashes, restarts, loses backends, stands still, or has no connection left. */

import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../random.ts";
import type { Fault, Stage } from "../stage.ts";
import { last } from "./support.ts";

/** Ends the server, and starts it again after a moment. */
const restart =
  (mode: "fast" | "immediate" | "kill") =>
  async ({ cluster }: Stage, random: Random): Promise<void> => {
    try {
      await cluster.stop(mode);
      await last(random, 0, 1_500);
    } finally {
      await cluster.start();
    }
  };

/** Backends by whom they serve. */
const backendsOf = {
  workers: "starts_with(application_name, 'postrider')",
  producers: "application_name = 'producer'",
} as const;

const terminate = async ({ admin }: Stage, whose: keyof typeof backendsOf, countMax: number): Promise<void> => {
  await admin.query(
    `select pg_terminate_backend(pid)
     from (
       select pid from pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' and ${backendsOf[whose]}
       order by random() limit $1
     ) as chosen`,
    [countMax],
  );
};

const cuts = 8;
const cutEveryMs = 200;

const terminateAgainAndAgain =
  (whose: keyof typeof backendsOf) =>
  async (stage: Stage, random: Random): Promise<void> => {
    for (let n = 0; n < cuts; n++) {
      await terminate(stage, whose, random.whole(1, 3));
      await pause(cutEveryMs);
    }
  };

const everyone = 1_000;

interface Process {
  readonly pid: number;
}

/** Kills one backend with SIGKILL: the server cannot trust its memory any more, and recovers as after a crash. */
const killBackend = async ({ admin, cluster }: Stage): Promise<void> => {
  const [backend] = await admin.query<Process>(
    `select pid from pg_stat_activity where datname = current_database() and ${backendsOf.workers} order by random() limit 1`,
  );
  if (backend === undefined) return;
  try {
    signal(backend.pid, "SIGKILL");
  } finally {
    await cluster.start();
  }
};

/** It may have ended since it was listed. */
const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
};

const freeze = async (pids: readonly number[], random: Random): Promise<void> => {
  try {
    for (const pid of pids) signal(pid, "SIGSTOP");
    await last(random, 800, 2_500);
  } finally {
    for (const pid of pids) signal(pid, "SIGCONT");
  }
};

const freezeServer = async ({ admin, cluster }: Stage, random: Random): Promise<void> => {
  const processes = await admin.query<Process>("select pid from pg_stat_activity");
  await freeze([cluster.pid, ...processes.map(({ pid }) => pid)], random);
};

const freezeBackends = async ({ admin }: Stage, random: Random): Promise<void> => {
  const processes = await admin.query<Process>(
    `select pid from pg_stat_activity where datname = current_database() and ${backendsOf.workers} and random() < 0.5`,
  );
  await freeze(
    processes.map(({ pid }) => pid),
    random,
  );
};

const connectionsAtOnce = 20;
const roundsMax = 15;

const tryToConnect = async (connectionString: string): Promise<pg.Client | undefined> => {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    return client;
  } catch {
    await client.end().catch(() => {});
    return undefined;
  }
};

/** Opens connections until no more are to be had, and keeps them for a while. */
const exhaust = async ({ cluster }: Stage, random: Random): Promise<void> => {
  const clients: pg.Client[] = [];
  try {
    for (let round = 0; round < roundsMax; round++) {
      const opened = await Promise.all(Array.from({ length: connectionsAtOnce }, () => tryToConnect(cluster.url)));
      const got = opened.filter((client) => client !== undefined);
      clients.push(...got);
      if (got.length === 0) break;
    }
    await last(random, 1_500, 2_500);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }
};

export const postgresFaults: readonly Fault[] = [
  { name: "postgres_killed", lane: "database", weight: 0.5, strike: restart("kill") },
  { name: "postgres_stopped_immediately", lane: "database", weight: 0.4, strike: restart("immediate") },
  { name: "postgres_restarted", lane: "database", weight: 0.5, strike: restart("fast") },
  { name: "postgres_backend_killed", lane: "database", weight: 0.5, strike: killBackend },
  { name: "postgres_stands_still", lane: "database", strike: freezeServer },
  { name: "postgres_backends_stand_still", lane: "database", strike: freezeBackends },
  { name: "postgres_out_of_connections", lane: "database", weight: 0.5, strike: exhaust },
  { name: "worker_backends_terminated", lane: "database", strike: terminateAgainAndAgain("workers") },
  {
    name: "worker_backends_all_terminated",
    lane: "database",
    strike: (stage) => terminate(stage, "workers", everyone),
  },
  { name: "producer_backends_terminated", lane: "database", strike: terminateAgainAndAgain("producers") },
];
