import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import {
  addDestination,
  addEvent,
  addEvents,
  deliveriesOf,
  deliveryOf,
  type GivenDestination,
  type GivenEvent,
  jobsOf,
} from "../support/factory.ts";

const cases: readonly (readonly [why: string, wish: GivenDestination, event: GivenEvent, gets: boolean])[] = [
  ["everything is wanted without topics", {}, { topic: "a" }, true],
  ["a topic is wanted by its name", { topics: ["order.paid"] }, {}, true],
  ["another topic is not", { topics: ["order.lost"] }, {}, false],
  ["a prefix wants what is below it", { topics: ["order.*"] }, { topic: "order.line.added" }, true],
  ["a prefix does not want itself", { topics: ["order.*"] }, { topic: "order" }, false],
  ["one topic of several is enough", { topics: ["a.*", "order.paid"] }, {}, true],
  ["a tenant's events reach its destinations", { tenantId: "acme" }, { tenant_id: "acme" }, true],
  ["another tenant's do not", { tenantId: "acme" }, { tenant_id: "umbrella" }, false],
  ["those of the default tenant do not either", { tenantId: "acme" }, {}, false],
  ["a destination of * gets every tenant's", { tenantId: "*" }, { tenant_id: "acme" }, true],
  ["a filter that holds", { filter: { total: { $gte: 10 } } }, { payload: '{"total": 10}' }, true],
  ["a filter that does not hold", { filter: { total: { $gte: 10 } } }, { payload: '{"total": 9.99}' }, false],
  ["a filter on what is missing", { filter: { total: { $gte: 10 } } }, { payload: "{}" }, false],
  ["a filter on a value of another type", { filter: { total: { $gte: 10 } } }, { payload: '{"total": "12"}' }, false],
  ["a filter on a payload that is no object", { filter: { total: { $gte: 10 } } }, { payload: '"12"' }, false],
  ["a filter on null", { filter: { total: { $gte: 10 } } }, { payload: "null" }, false],
  ["the last of two equal keys counts", { filter: { a: 2 } }, { payload: '{"a": 1, "a": 2}' }, true],
  ["a jsonpath that divides by zero", { filter: { $jsonpath: "1 / $.n > 0" } }, { payload: '{"n": 0}' }, false],
  [
    "a jsonpath that asks a string for its double",
    { filter: { $jsonpath: "$.n.double() > 0" } },
    { payload: '{"n": "x"}' },
    false,
  ],
  ["a strict jsonpath on what is missing", { filter: { $jsonpath: "strict $.a.b == 1" } }, { payload: "[]" }, false],
];

test("an event reaches the subscriptions that want it, and a filter that cannot be evaluated is no match", async (t) => {
  await using db = await testDatabase();
  for (const [why, wish, event, gets] of cases) {
    await t.test(why, async () => {
      const { id: destinationId } = await addDestination(db, wish);
      const { id } = await addEvent(db, event);
      const deliveries = await db.query(
        "select status::text from outbox.deliveries where event_id = $1 and destination_id = $2",
        [id, destinationId],
      );
      assert.deepEqual(deliveries, gets ? [{ status: "pending" }] : []);
    });
  }
});

test("an event has a delivery for each subscription, also for two of one destination", async () => {
  await using db = await testDatabase();
  const first = await addDestination(db, { topics: ["order.*"] });
  const second = await addDestination(db);
  const { id: third } = await db.one("select outbox.create_subscription($1, '{order.paid}') as id", [first.id]);
  const { id } = await addEvent(db, { key: "7" });
  const subscriptions = (await deliveriesOf(db, id)).map(({ subscription_id }) => subscription_id);
  assert.equal(subscriptions.length, 3);
  assert.deepEqual(new Set(subscriptions), new Set([first.subscriptionId, second.subscriptionId, third]));
});

test("a delivery carries what its event says about tenant, key and order", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { tenantId: "*" });
  const { id, seq } = await addEvent(db, { tenant_id: "acme", key: "order 7" });
  const delivery = await db.one(
    "select destination_id, tenant_id, key, seq from outbox.deliveries where event_id = $1",
    [id],
  );
  assert.deepEqual(delivery, { destination_id: destinationId, tenant_id: "acme", key: "order 7", seq });
});

test("deliveries to a disabled destination are held and have no job", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  const { status, held_reason } = await deliveryOf(db, (await addEvent(db)).id);
  assert.deepEqual([status, held_reason], ["held", "destination_disabled"]);
  assert.deepEqual(await jobsOf(db), []);
});

test("a subscription that is not enabled, and a destination that was deleted, want nothing", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const { id } = await addDestination(db);
  await db.query("select outbox.update_subscription($1, enabled => false)", [subscriptionId]);
  await db.query("select outbox.delete_destination($1)", [id]);
  await addEvent(db);
  assert.deepEqual(await deliveriesOf(db), []);
});

test("an event with deliver_after is a row with a time, and gets its job when that is near", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const after = new Date(Date.now() + 3_600_000);
  const { id } = await addEvent(db, { deliver_after: after });
  assert.deepEqual((await deliveryOf(db, id)).next_attempt_at, after);
  assert.deepEqual(await jobsOf(db), []);
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 0 });

  await db.query("update outbox.deliveries set next_attempt_at = now() + interval '30 seconds'");
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 1 });
  assert.equal((await jobsOf(db)).length, 1);
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 0 });
});

test("a deliver_after that is past holds nothing up", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db, { deliver_after: new Date(Date.now() - 60_000) });
  assert.equal((await deliveryOf(db, id)).next_attempt_at, null);
  assert.equal((await jobsOf(db)).length, 1);
});

test("a job carries up to 100 deliveries, those of one destination together and in order", async () => {
  await using db = await testDatabase();
  const made = [await addDestination(db), await addDestination(db), await addDestination(db)];
  const events = await addEvents(db, 60);
  const jobs = await jobsOf(db);
  const sizes = jobs.map(({ deliveries }) => Object.values(deliveries).reduce((sum, ids) => sum + ids.length, 0));
  assert.deepEqual(sizes, [100, 80]);
  for (const { subscriptionId } of made) {
    const ids = jobs.flatMap(({ deliveries }) => deliveries[subscriptionId] ?? []);
    assert.deepEqual(
      ids,
      events.map(({ id }) => id),
    );
  }
  const subscriptions = jobs.map(({ deliveries }) => Object.keys(deliveries).length);
  assert.deepEqual(subscriptions, [2, 2]);
});

const word = fc.constantFrom("a", "b", "c");
const topic = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join("."));
const tenant = fc.constantFrom("acme", "umbrella");
const tomorrow = new Date(Date.now() + 86_400_000);
const wishes = fc.array(
  fc.record({
    tenantId: fc.oneof(tenant, fc.constant("*")),
    topics: fc.array(
      fc.oneof(
        topic,
        topic.map((prefix) => `${prefix}.*`),
        fc.constant("*"),
      ),
      { minLength: 1, maxLength: 3 },
    ),
    filter: fc.constantFrom(null, { n: { $gte: 2 } }, { n: { $lt: 2 } }, { s: "x" }, { $jsonpath: "1 / $.n > 0.4" }),
    disabled: fc.boolean(),
  }),
  { minLength: 3, maxLength: 6 },
);
const events = fc.array(
  fc.record({
    tenant_id: tenant,
    topic,
    payload: fc.oneof(
      fc.integer({ min: 0, max: 4 }).map((n) => `{"n": ${n}}`),
      fc.constantFrom('{"s": "x"}', "[]", '"x"'),
    ),
    deliver_after: fc.constantFrom(null, null, null, tomorrow),
  }),
  { minLength: 6, maxLength: 12 },
);

const subscribe = async (db: TestDatabase, wish: { disabled: boolean } & GivenDestination): Promise<void> => {
  const { id } = await addDestination(db, wish);
  if (wish.disabled) await db.query("select outbox.disable_destination($1)", [id]);
};

/** Inserts events in one mode; says who gets which of them (by its number), in which state, and with a job or without. */
async function fanOut(db: TestDatabase, mode: string, given: readonly GivenEvent[]): Promise<unknown[]> {
  await using client = await db.client();
  await client.query("truncate outbox.events, outbox.deliveries, graphile_worker._private_jobs");
  await client.query("select set_config('outbox.fan_out', $1, false)", [mode]);
  for (const event of given) await addEvent(client, event);
  await client.query("select outbox.fan_out_deferred()");
  return db.query(`
    with first as (select min(seq) as seq from outbox.events), jobs as (
      select d.key::uuid as subscription_id, e.id::uuid as event_id
      from graphile_worker._private_jobs as j, json_each(j.payload -> 'deliveries') as d, json_array_elements_text(d.value) as e (id)
    )
    select d.seq - first.seq as event, d.subscription_id, d.status, d.held_reason, d.next_attempt_at, count(j) as jobs
    from outbox.deliveries as d cross join first
    left join jobs as j on j.event_id = d.event_id and j.subscription_id = d.subscription_id
    group by 1, 2, 3, 4, 5 order by 1, 2`);
}

test("deferred and immediate fan-out give the same deliveries", async (t) => {
  await using db = await testDatabase();
  const seed = Number(process.env.POSTRIDER_TEST_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`POSTRIDER_TEST_SEED=${seed}`);
  let delivered = 0;
  const property = fc.asyncProperty(wishes, events, async (given, inserted) => {
    await db.query(
      "truncate outbox.destinations, outbox.subscriptions, outbox.destination_secrets, outbox.destination_health cascade",
    );
    for (const wish of given) await subscribe(db, wish);
    const immediate = await fanOut(db, "immediate", inserted);
    assert.deepEqual(await fanOut(db, "deferred", inserted), immediate);
    delivered += immediate.length;
  });
  await fc.assert(property, { numRuns: 25, seed });
  assert.ok(delivered > 50, `only ${delivered} deliveries in all runs`);
});
