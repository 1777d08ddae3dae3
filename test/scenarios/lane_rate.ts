/** One lane alone reaches at least 200 deliveries a second to a fast receiver: what is behind its head goes without jobs. */
import assert from "node:assert/strict";
import { startReceiver, startWorkerProcess } from "../bench/support.ts";
import { addDestination } from "../support/factory.ts";
import type { Stage } from "./run.ts";
import { stageDatabase } from "./support.ts";

const promised = 200;

export const run = async ({ serverUrl, smoke }: Stage): Promise<Readonly<Record<string, unknown>>> => {
  const events = smoke ? 200 : 5_000;
  await using receiver = await startReceiver();
  await using database = await stageDatabase(serverUrl, "lane_rate");
  const { pool } = database;
  await addDestination(pool, { config: { url: receiver.url }, ordered: true });
  await using _worker = await startWorkerProcess(database.url);
  const arrived = receiver.secondsUntil(events);
  await pool.query(
    `insert into outbox.events (topic, key, payload)
     select 'order.changed', 'order-1', json_build_object('n', n) from generate_series(1, $1) as n`,
    [events],
  );
  const seconds = await arrived;
  const rate = events / seconds;
  if (!smoke)
    assert.ok(rate >= promised, `one lane made ${rate.toFixed(0)} deliveries a second, ${promised} are promised`);
  return { events, seconds, one_lane_deliveries_per_second: rate };
};
