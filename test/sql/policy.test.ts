import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { testDatabase } from "../support/database.ts";

const delaySql =
  "select extract(epoch from outbox.retry_delay($1, $2, make_interval(secs => $3), $4))::float8 as seconds";
const exponential = { exponential: { base_seconds: 2, factor: 3, cap_seconds: 100, attempts: 6 }, jitter: 0 };
const list = { schedule_seconds: [0, 7.5, 60], jitter: 0.2 };
const hours = 3600;

/** policy, failures so far, Retry-After in seconds, luck -> seconds to wait; null: the schedule is used up. */
const table: readonly (readonly [
  policy: object,
  failures: number,
  retryAfter: number | null,
  luck: number,
  seconds: number | null,
])[] = [
  [{}, 1, null, 0, 5],
  [{}, 2, null, 0, 300],
  [{}, 3, null, 0, 1800],
  [{}, 4, null, 0, 2 * hours],
  [{}, 5, null, 0, 5 * hours],
  [{}, 6, null, 0, 10 * hours],
  [{}, 7, null, 0, 14 * hours],
  [{}, 8, null, 0, 20 * hours],
  [{}, 9, null, 0, 24 * hours],
  [{}, 10, null, 0, null],
  [{}, 1, null, 1, 5.5],
  [{}, 9, null, 0.5, 24 * hours * 1.05],
  [list, 1, null, 1, 0],
  [list, 2, null, 0, 7.5],
  [list, 2, null, 1, 9],
  [list, 3, null, 0, 60],
  [list, 4, null, 0, null],
  [{ schedule_seconds: [] }, 1, null, 0, null],
  [{ schedule_seconds: [] }, 1, 60, 0, null],
  [exponential, 1, null, 0, 2],
  [exponential, 2, null, 0, 6],
  [exponential, 4, null, 0, 54],
  [exponential, 5, null, 0, 100],
  [exponential, 6, null, 0, null],
  [
    { exponential: { base_seconds: 86400, factor: 10, cap_seconds: 2592000, attempts: 100 }, jitter: 0 },
    99,
    null,
    0,
    2592000,
  ],
  [{ exponential: { ...exponential.exponential, attempts: 3.0 }, jitter: 1e-320 }, 1, null, 0.5, 2],
  [{}, 1, 0, 0, 5],
  [{}, 1, 4, 0, 5],
  [{}, 1, 60, 0, 60],
  [{}, 1, 60, 1, 60],
  [{}, 2, 60, 0, 300],
  [{}, 1, 24 * hours, 0, 24 * hours],
  [{}, 1, 999 * hours, 0, 24 * hours],
  [{}, 9, 999 * hours, 1, 26.4 * hours],
];

test("the next attempt comes when the table says", async (t) => {
  await using db = await testDatabase();
  for (const [policy, failures, retryAfter, luck, seconds] of table) {
    const given = `${JSON.stringify(policy)}, failure ${failures}, Retry-After ${retryAfter}, luck ${luck}`;
    await t.test(`${given}: ${seconds ?? "never"}`, async () => {
      assert.deepEqual(await db.one(delaySql, [JSON.stringify(policy), failures, retryAfter, luck]), { seconds });
    });
  }
});

test("jitter only adds, by at most its share, and never comes before Retry-After", async () => {
  await using db = await testDatabase();
  const given = fc.record({
    delay: fc.integer({ min: 0, max: 2_592_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    luck: fc.double({ min: 0, max: 1, noNaN: true }),
    retryAfter: fc.option(fc.integer({ min: 0, max: 200_000 })),
  });
  const property = fc.asyncProperty(given, async ({ delay, jitter, luck, retryAfter }) => {
    const policy = JSON.stringify({ schedule_seconds: [delay], jitter });
    const { seconds } = await db.one(delaySql, [policy, 1, retryAfter, luck]);
    const asked = Math.min(retryAfter ?? 0, 24 * hours);
    assert.ok(seconds >= delay && seconds >= asked);
    assert.ok(seconds <= Math.max(delay * (1 + jitter), asked) + delay * 1e-4);
  });
  await fc.assert(property, { numRuns: 200 });
});

test("numbers that JSON has and a double has not do no harm", async () => {
  await using db = await testDatabase();
  const policies = [
    '{"schedule_seconds": [1e-400], "jitter": 1e-400}',
    '{"exponential": {"base_seconds": 1e-400, "factor": 1.00, "cap_seconds": 1e-400, "attempts": 3.0}}',
  ];
  for (const policy of policies) {
    await db.query("select outbox.check_policy($1)", [policy]);
    assert.deepEqual(await db.one(delaySql, [policy, 1, null, 1]), { seconds: 0 });
  }
});

test("the default policy passes its own check, and gives ten attempts over 75 hours and 35 minutes", async () => {
  await using db = await testDatabase();
  await db.query("select outbox.check_policy(outbox.default_policy())");
  const { total, delays } = await db.one(
    `select sum(value::int)::int as total, count(*)::int as delays
     from jsonb_array_elements(outbox.default_policy() -> 'schedule_seconds')`,
  );
  assert.deepEqual([total, delays], [75 * hours + 35 * 60 + 5, 9]);
});
