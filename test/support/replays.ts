/** Replays and start positions in tests: made, advanced without waiting, and looked at. */
import type { TestDatabase } from "./database.ts";
import { addDestination, addEventsApart, type MadeDestination, type MadeEvent } from "./factory.ts";
import { delivered, type HandWorker, startHandWorker } from "./hand_worker.ts";

/** What outbox.replay answers; of a dry run without an id, and of a real one with nothing else. */
export interface ReplayAnswer {
  readonly replay_id: string | null;
  readonly matched: string | null;
  readonly repeats: string | null;
  readonly makes: string | null;
  readonly leaves_alone: string | null;
}

/** A row of outbox.replay_progress as far as tests look at it. */
export interface Progress {
  readonly status: string;
  readonly waits_for: string | null;
  readonly looked_at: number;
  readonly repeated: number;
  readonly made: number;
  readonly left_alone: number;
  readonly delivered: number;
  readonly waiting: number;
}

/** A destination, and n events that it got. */
export async function history(
  db: TestDatabase,
  n = 3,
): Promise<MadeDestination & { readonly worker: HandWorker; readonly events: readonly MadeEvent[] }> {
  const destination = await addDestination(db);
  const worker = await startHandWorker(db);
  const events = await addEventsApart(db, n);
  await worker.attempt(delivered);
  await db.query("delete from graphile_worker._private_jobs");
  return { ...destination, worker, events };
}

/** Calls outbox.replay for a subscription, from the beginning unless the arguments say otherwise. */
export const replay = (
  db: TestDatabase,
  subscriptionId: string,
  args = "since => '-infinity'",
  params: unknown[] = [],
): Promise<ReplayAnswer> =>
  db.one(`select * from outbox.replay($1, ${args})`, [subscriptionId, ...params]) as Promise<ReplayAnswer>;

/** Makes every running replay due, as if an hour had passed, and advances one by one step. */
export const step = async (db: TestDatabase): Promise<boolean> => {
  await db.query(
    `update outbox.replays set due_at = now() - interval '1 hour', advanced_at = now() - interval '1 hour'
     where status = 'running'`,
  );
  return (await db.one("select outbox.advance_replays() as advanced")).advanced;
};

/** Steps until the replay has ended or waits for something. */
export const advance = async (db: TestDatabase): Promise<Progress> => {
  for (;;) {
    const advanced = await step(db);
    const now = await progress(db);
    if (!advanced || now.status !== "running" || now.waits_for !== null) return now;
  }
};

/** How the newest run stands. */
export const progress = (db: TestDatabase): Promise<Progress> =>
  db.one(
    `select status, waits_for, looked_at::int, repeated::int, made::int, left_alone::int, delivered::int, waiting::int
     from outbox.replay_progress order by id desc limit 1`,
  ) as Promise<Progress>;

const finishMsMax = 30_000;

/**
 * Steps until the replay has ended. A start position waits for transactions of other databases of the server too, those of
 * other tests, so it may take a moment.
 */
export const finish = async (db: TestDatabase): Promise<Progress> => {
  const giveUpAt = Date.now() + finishMsMax;
  for (;;) {
    const now = await advance(db);
    if (now.status !== "running") return now;
    if (Date.now() > giveUpAt) throw new Error(`The run has not ended: ${JSON.stringify(now)}`);
  }
};
