/** The README is kept true. Here: its SQL. In `readme_*.test.ts`: its commands, its code, its tables, its names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type pg from "pg";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { blocks, codeIn, prose } from "./support/readme.ts";
import { refusalOf } from "./support/refusal.ts";

/** The rows of each statement of a block. */
const rowsOf = (results: pg.QueryResult | pg.QueryResult[]): pg.QueryResultRow[][] =>
  [results].flat().map(({ rows }) => rows);

const eventsAndOrders =
  "select (select count(*)::int from orders) as orders, (select count(*)::int from outbox.events) as events";

/** The one destination of a type, with its only subscription. */
const madeAs = async (db: TestDatabase, type: string, topics: string): Promise<void> => {
  const rows = await db.query(
    `select s.topics::text from outbox.destinations as d join outbox.subscriptions as s on s.destination_id = d.id
     where d.type = $1`,
    [type],
  );
  assert.deepEqual(rows, [{ topics }]);
};

/** What each SQL block of the README promises, in their order. */
const promises: readonly (readonly [
  promise: string,
  check: (db: TestDatabase, results: pg.QueryResultRow[][], sql: string) => Promise<void>,
])[] = [
  [
    "a destination is made with one subscription, and its id is returned",
    async (db, [made]) => {
      const rows = await db.query(
        `select d.id, d.name, s.topics::text, s.filter from outbox.destinations as d
         join outbox.subscriptions as s on s.destination_id = d.id`,
      );
      const id = made?.[0]?.create_destination;
      assert.deepEqual(rows, [{ id, name: "ERP", topics: "{order.*}", filter: { total: { $gte: 10 } } }]);
    },
  ],
  [
    "the event exists if and only if the transaction committed",
    async (db, _results, sql) => {
      assert.deepEqual(await db.one(eventsAndOrders), { orders: 1, events: 1 });
      await db.query(sql.replace("commit;", "rollback;"));
      assert.deepEqual(await db.one(eventsAndOrders), { orders: 1, events: 1 });
    },
  ],
  [
    "what happened is rows: the delivery waits, and the event has a timeline",
    async (_db, [deliveries, timeline = []]) => {
      const waiting = { status: "pending", attempt_count: 0, error_code: null, next_attempt_at: null };
      assert.deepEqual(deliveries, [waiting]);
      assert.deepEqual(
        timeline.map(({ what, destination }) => [what, destination]),
        [
          ["event", null],
          ["delivery", "ERP"],
        ],
      );
    },
  ],
  [
    "a deferred event waits for a worker to fan it out",
    async (db) => {
      const { id } = await db.one(`select id from outbox.events where payload ->> 'order' = '2'`);
      assert.deepEqual(await db.query("select event_ids from outbox.deferred_events"), [{ event_ids: [id] }]);
      const deliveries = () => db.query("select from outbox.deliveries where event_id = $1", [id]);
      assert.equal((await deliveries()).length, 0);
      await db.query("select outbox.fan_out_deferred()");
      assert.equal((await deliveries()).length, 1);
    },
  ],
  [
    "a redrive can be tried dry: it returns what it would put back, and changes nothing",
    async (db, [none], sql) => {
      assert.deepEqual(none, []);
      await db.query(
        `update outbox.deliveries set status = 'dead', dead_at = now(), finished_at = now(), error_code = 'http_status'
         where event_id = (select id from outbox.events order by seq limit 1)`,
      );
      assert.equal((await db.query(sql)).length, 1);
      assert.equal((await db.query("select from outbox.deliveries where status = 'dead'")).length, 1);
    },
  ],
  ["alerts go to Slack", async (db) => await madeAs(db, "slack", "{postrider.alert.*}")],
  ["events of a topic go to people by e-mail", async (db) => await madeAs(db, "email", "{invoice.overdue}")],
  ["alerts go to PagerDuty", async (db) => await madeAs(db, "pagerduty", "{postrider.alert.*}")],
  [
    "why an event did not pass is said in words: those of the comment",
    async (_db, [answer], sql) => {
      assert.equal(`-- ${answer?.[0]?.explain_filter}`, sql.trim().split("\n").at(-1));
    },
  ],
  [
    "how each destination does, and what holds its deliveries back, is a row",
    async (_db, [status = []]) => {
      assert.deepEqual(
        status
          .filter(({ name }) => name === "ERP")
          .map(({ health, circuit, held_back_by }) => [health, circuit, held_back_by]),
        [["unused", "closed", null]],
      );
    },
  ],
  [
    "a destination is made with limits",
    async (db, [made]) => {
      const { policy } = await db.one("select policy from outbox.destinations where name = 'Slow'");
      assert.deepEqual(policy, { rate_per_second: 50, burst: 100, in_flight_max: 10 });
      const { n } = await db.one("select outbox.allowance($1) as n", [made?.[0]?.create_destination]);
      assert.equal(n, 10);
    },
  ],
  [
    "an ordered destination has a lane for each key",
    async (_db, [, , lanes]) => {
      assert.deepEqual(
        lanes?.map(({ key, length, on_dead, head_status }) => ({ key, length, on_dead, head_status })),
        [{ key: "order 1", length: "1", on_dead: "park", head_status: "pending" }],
      );
    },
  ],
  [
    "topics have retentions of their own",
    async (db) => {
      const rows = await db.query(
        "select topics, extract(epoch from keep) / 86400 as days from outbox.retention order by 1",
      );
      assert.deepEqual(
        rows.map(({ topics, days }) => `${topics} ${Number(days)}`),
        ["audit.* 400", "cart.* 3"],
      );
    },
  ],
  [
    "alerts go to who subscribed to them, and can be looked at",
    async (db, [made, alerts]) => {
      assert.deepEqual(alerts, []);
      await db.query("select outbox.disable_destination(id) from outbox.destinations where name = 'Slow'");
      await db.query("select outbox.evaluate_alerts()");
      const told = await db.query(
        `select d.name, e.topic from outbox.deliveries as v
         join outbox.destinations as d on d.id = v.destination_id
         join outbox.events as e on e.id = v.event_id where d.id = $1 order by e.topic`,
        [made?.[0]?.create_destination],
      );
      assert.deepEqual(told, [
        { name: "alerts", topic: "postrider.alert.dead_letter" },
        { name: "alerts", topic: "postrider.alert.destination_disabled" },
      ]);
    },
  ],
  [
    "a replay is tried dry, runs, and is seen running",
    async (db, [dry = [], ran = [], progress = []]) => {
      assert.deepEqual(
        dry.map(({ replay_id, matched, repeats, leaves_alone }) => [replay_id, matched, repeats, leaves_alone]),
        [[null, "2", "1", "1"]],
      );
      assert.deepEqual(
        progress.map(({ status, repeated }) => [status, repeated]),
        [["running", "0"]],
      );
      await db.query(
        "update outbox.replays set due_at = now() - interval '1 hour', advanced_at = now() - interval '1 hour'",
      );
      await db.query("select outbox.advance_replays()");
      const { repeated } = await db.one("select repeated from outbox.replays where id = $1", [ran[0]?.replay_id]);
      assert.equal(repeated, "1");
    },
  ],
  [
    "a test event waits for the destination of this name, and its answer is looked up",
    async (db, [made, answers]) => {
      assert.deepEqual(answers, []);
      const sent = await db.query(
        "select d.name from outbox.deliveries as v join outbox.destinations as d on d.id = v.destination_id where v.event_id = $1",
        [made?.[0]?.event_id],
      );
      assert.deepEqual(sent, [{ name: "ERP" }]);
    },
  ],
];

test("each SQL block of the README does what it says, one after the other in one database", async (t) => {
  const written = blocks("sql");
  assert.equal(written.length, promises.length);
  await using db = await testDatabase();
  await using client = await db.client();
  for (const [index, [promise, check]] of promises.entries()) {
    const sql = written[index] ?? "";
    const results = rowsOf(await client.query(sql));
    await t.test(promise, () => check(db, results, sql));
  }
});

test("each statement in the README's prose can be run as it stands", async () => {
  const statements = codeIn(prose).filter((code) => /^(select .*|set [\w.]+ =.*)$/.test(code));
  assert.ok(statements.length >= 5);
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("begin; create role my_app");
  for (const sql of statements) await client.query(sql);
  await client.query("rollback");
});

test("the README's setting raises the limit of a payload", async () => {
  const setting = codeIn(prose).find((code) => code.startsWith("set outbox.payload_bytes_max")) ?? "";
  await using db = await testDatabase();
  await using client = await db.client();
  const insert = (bytes: number) =>
    client.query("insert into outbox.events (topic, payload) values ('order.paid', $1)", [
      `"${"x".repeat(bytes - 2)}"`,
    ]);
  await insert(256 * 1024);
  assert.equal((await refusalOf(insert(256 * 1024 + 1))).code, "PR001");
  await client.query(setting);
  await insert(1024 * 1024);
});
