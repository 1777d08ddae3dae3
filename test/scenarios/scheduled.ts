/** Events for later arrive within the second after their deliver_after, many of them too. */
import assert from "node:assert/strict";
import { startWorkerProcess } from "../bench/support.ts";
import { startReceiver } from "../support/receiver.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const sizes = {
  smoke: { events: 300, fromSeconds: 3, overSeconds: 2, lateMsMax: 5_000 },
  full: { events: 20_000, fromSeconds: 10, overSeconds: 40, lateMsMax: 1_000 },
};
/** Some are inserted so shortly before they are due that no job can have been made ahead. */
const near = { events: 50, fromSeconds: 0.3, overSeconds: 0 };

const pick = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/**
 * Inserts events that are due at random moments of some seconds, and measures how late each arrives.
 * @throws when one arrives early or twice, or 99 of 100 not within the second
 */
export const run = async ({ serverUrl, smoke }: Stage) => {
  const { lateMsMax, ...far } = smoke ? sizes.smoke : sizes.full;
  await using receiver = await startReceiver();
  await using database = await stageDatabase(serverUrl, "scheduled", receiver.url);
  await using _worker = await startWorkerProcess(database.url);
  const dueAt = new Map<string, number>();
  const insert = async ({ events, fromSeconds, overSeconds }: typeof near): Promise<ReadonlySet<string>> => {
    const { rows } = await database.pool.query<{ id: string; at: Date }>(
      `insert into outbox.events (topic, payload, deliver_after)
       select 'order.paid', '{}', date_trunc('milliseconds', clock_timestamp() + make_interval(secs => $2 + random() * $3))
       from generate_series(1, $1) returning id, deliver_after as at`,
      [events, fromSeconds, overSeconds],
    );
    for (const { id, at } of rows) dueAt.set(id, at.getTime());
    return new Set(rows.map(({ id }) => id));
  };
  const nearIds = await insert(near);
  const farIds = await insert(far);
  // Each wait is for one more, so that a long scenario is not taken for one that hangs.
  while (receiver.count < dueAt.size) await receiver.waitFor(receiver.count + 1);
  const latenessOf = (ids: ReadonlySet<string>): readonly number[] =>
    receiver.requests
      .map(({ headers, receivedAt }) => ({ id: String(headers["webhook-id"]), at: receivedAt.getTime() }))
      .filter(({ id }) => ids.has(id))
      .map(({ id, at }) => at - (dueAt.get(id) ?? Number.NaN))
      .toSorted((a, b) => a - b);
  const lateness = latenessOf(farIds);
  const nearLateness = latenessOf(nearIds);
  assert.deepEqual([lateness.length, nearLateness.length], [far.events, near.events], "each event arrives once");
  const earliest = Math.min(lateness[0] ?? -1, nearLateness[0] ?? -1);
  assert.ok(earliest >= 0, `one came ${-earliest} ms early`);
  const p99 = pick(lateness, 0.99);
  assert.ok(p99 < lateMsMax, `1 in 100 came ${p99} ms late`);
  return {
    events: far.events,
    dueOverSeconds: far.overSeconds,
    lateMsP50: pick(lateness, 0.5),
    lateMsP99: p99,
    lateMsMax: lateness.at(-1),
    lateMsMaxInsertedShortlyBefore: nearLateness.at(-1),
  };
};
