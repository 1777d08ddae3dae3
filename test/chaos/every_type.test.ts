import assert from "node:assert/strict";
import { test } from "node:test";
import { builtInTypes } from "../../src/registry.ts";
import { testDatabase } from "../support/database.ts";
import { openEveryPlace } from "../support/every_type.ts";
import { addEvents } from "../support/factory.ts";
import { brokerMissing } from "../support/rabbitmq.ts";
import { explainArrivals, untilAllDelivered, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 2_000;
const beforeRestarts = 500;
const policy = { schedule_seconds: Array(30).fill(1), jitter: 0, timeout_seconds: 10 };
const skip = brokerMissing !== undefined && process.env.CI !== "true" ? brokerMissing : false;

test("of 2,000 events to each type none is lost while every server restarts once", { skip }, async (t) => {
  await using db = await testDatabase();
  await using stack = new AsyncDisposableStack();
  const places = await openEveryPlace();
  for (const place of places) stack.use(place);
  assert.deepEqual(places.map(({ type }) => type).sort(), (await builtInTypes()).map(({ type }) => type).sort());
  const types = new Map<string, string>();
  for (const { type, config, secrets } of places) {
    const create = "select outbox.create_destination($1, $2, secrets => $3, policy => $4) as id";
    types.set((await db.one<{ id: string }>(create, [type, config, secrets, policy])).id, type);
  }
  await using worker = await startWorkerProcess(db.url);

  const events = [...(await addEvents(db, beforeRestarts))];
  const started = "select count(distinct destination_id)::int as n from outbox.attempts where outcome = 'delivered'";
  await within(
    60_000,
    "each type has delivered",
    async () => (await db.one<{ n: number }>(started)).n === places.length,
  );
  const restarts = Promise.all(places.map((place) => place.restart()));
  for (let n = beforeRestarts; n < count; n += 100) events.push(...(await addEvents(db, 100)));
  await restarts;
  const ms = await untilAllDelivered(db, 120_000);

  const attempts = await db.query<{ id: string; destination_id: string; attempts: string[] }>(
    `select event_id as id, destination_id, array_agg(concat_ws(': ', outcome::text, code) order by number) as attempts
     from outbox.attempts where not late group by 1, 2`,
  );
  const attemptsOf = new Map(attempts.map((row) => [`${types.get(row.destination_id)}/${row.id}`, row.attempts]));
  const problems: string[] = [];
  for (const place of places) {
    const arrivals = Map.groupBy(await place.arrived(), ({ id }) => id);
    const failed = new Map<string, number>();
    for (const { id } of events) {
      const tried = attemptsOf.get(`${place.type}/${id}`) ?? [];
      for (const each of tried) if (each !== "delivered") failed.set(each, (failed.get(each) ?? 0) + 1);
      const times = arrivals.get(id)?.length ?? 0;
      const problem = times === 0 ? "never arrived" : explainArrivals(times, tried);
      if (problem !== undefined) problems.push(`${place.type}: ${id} ${problem}`);
    }
    const extra = [...arrivals.values()].reduce((sum, { length }) => sum + length - 1, 0);
    const failures = [...failed].map(([what, n]) => `${n} ${what}`).join(", ");
    t.diagnostic(
      `${place.type} (${place.server}): ${arrivals.size} events, ${extra} extra arrivals; ${failures || "no failures"}`,
    );
  }
  t.diagnostic(`all settled ${ms} ms after the last restart`);
  assert.deepEqual(problems.slice(0, 20), [], `${problems.length} problems`);
  assert.ok(worker.isAlive);
});
