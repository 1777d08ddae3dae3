/** Events that no trigger sees, as when they are replicated or restored: the reconciler has to find them. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Random } from "../random.ts";
import { carryThrough, type Transaction } from "../stage/committing.ts";
import { type Connection, createKeeper } from "../stage/connection.ts";
import { dress, type MadeEvent } from "../stage/making.ts";
import type { Fault, Stage } from "../stage.ts";
import { tenantOfUnseenEvents } from "./support.ts";

/** The server has ended a transaction that was left behind by then. */
const patienceMs = 20_000;

const urlOfProducers = ({ cluster, producerLine }: Stage): string => {
  const url = new URL(cluster.url);
  url.port = String(producerLine.port);
  return url.href;
};

/** No dedupe key holds back a second one, so it waits for the first try to end, and looks. */
const insertUnseen =
  ({ mark, tenant, topic, payload }: MadeEvent) =>
  async (connection: Connection): Promise<void> => {
    await connection.query("set local session_replication_role = replica");
    await connection.query("select pg_advisory_xact_lock(hashtext($1))", [mark]);
    await connection.query(
      `insert into outbox.events (tenant_id, topic, dedupe_key, payload)
       select $1, $2, $3, $4::json
       where not exists (select from outbox.events as e where e.dedupe_key = $3)`,
      [tenant, topic, mark, payload],
    );
  };

/** A topic that matches one of a subscription. */
const topicOf = (topics: readonly string[]): string => (topics[0] ?? "order.*").replace("*", "paid");

const makeEvent = (stage: Stage, random: Random): MadeEvent => {
  const tenant = tenantOfUnseenEvents(stage);
  const { topics, amountMin = 0 } = random.pick(stage.sinks.all.filter((sink) => sink.tenant === tenant));
  const subject = { mark: `unseen-${randomUUID()}`, tenant, topic: topicOf(topics), n: 0, amount: amountMin + 1 };
  return dress(subject, '"unseen"');
};

const hasDeliveries = async ({ admin }: Stage, mark: string): Promise<boolean> => {
  const rows = await admin.query(
    "select from outbox.events as e join outbox.deliveries as d on d.event_id = e.id where e.dedupe_key = $1 limit 1",
    [mark],
  );
  return rows.length > 0;
};

const insertsMax = 5;

const insertSome = async (stage: Stage, random: Random): Promise<void> => {
  const keeper = createKeeper(urlOfProducers(stage));
  const ledger = join(stage.folder, "producer-unseen.jsonl");
  try {
    for (let n = random.whole(1, insertsMax); n > 0; n--) {
      const event = makeEvent(stage, random);
      const insert: Transaction["insert"] = insertUnseen(event);
      const transaction = { batch: { name: event.mark, events: [event] }, insert, insertAgain: insert };
      await carryThrough(transaction, ledger, keeper, AbortSignal.timeout(patienceMs));
      if (await hasDeliveries(stage, event.mark)) throw new Error(`a trigger has seen the event ${event.mark}`);
    }
  } finally {
    keeper.close();
  }
};

export const triggerFaults: readonly Fault[] = [
  { name: "triggers_switched_off", lane: "edge", weight: 0.5, strike: insertSome },
];
