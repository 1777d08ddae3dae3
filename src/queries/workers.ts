/** A worker's place in the fleet. */
import { type Kysely, sql } from "kysely";

/** How a worker enters its name. */
export interface WorkerRegistration {
  readonly workerId: string;
  readonly poolId: string;
  readonly hostname: string;
  readonly pid: number;
  readonly version: string;
}

/** @throws an error with SQLSTATE PR004 in a restored copy of a database */
export const registerWorker = async (kysely: Kysely<unknown>, worker: WorkerRegistration): Promise<void> => {
  const { workerId, poolId, hostname, pid, version } = worker;
  await sql`select outbox.register_worker(${workerId}, ${poolId}, ${hostname}, ${pid}, ${version})`.execute(kysely);
};

/** The worker goes on with another pool: the jobs of the old one are freed, its claims stay. False: it was given up. */
export const changePool = async (kysely: Kysely<unknown>, workerId: string, poolId: string): Promise<boolean> => {
  const { rows } = await sql<{ known: boolean }>`select outbox.change_pool(${workerId}, ${poolId}) as known`.execute(
    kysely,
  );
  return rows[0]?.known === true;
};

/** The worker lives, and says what time it has. False: it was silent for too long and has been given up. */
export const beat = async (kysely: Kysely<unknown>, workerId: string): Promise<boolean> => {
  const { rows } = await sql<{ alive: boolean }>`
    select outbox.heartbeat(${workerId}, ${new Date()}::timestamptz) as alive`.execute(kysely);
  return rows[0]?.alive === true;
};

/** The worker stops. */
export const leaveWorker = async (kysely: Kysely<unknown>, workerId: string): Promise<void> => {
  await sql`select outbox.leave_worker(${workerId})`.execute(kysely);
};
