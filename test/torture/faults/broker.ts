/** A broker that dies, blocks its publishers, or has no queue for what it is given. */
import type { Random } from "../random.ts";
import type { Broker, Fault, Sink, Stage } from "../stage.ts";
import { last } from "./support.ts";

const missing = ({ broker }: Stage): string | undefined =>
  broker === undefined ? "RabbitMQ is not installed" : undefined;

const brokerOf = ({ broker }: Stage): Broker => {
  if (broker === undefined) throw new Error("the stage has no broker");
  return broker;
};

const pickQueue = ({ sinks }: Stage, random: Random): Sink =>
  random.pick(sinks.all.filter(({ type }) => type === "rabbitmq"));

const killAndStart = async (stage: Stage, random: Random): Promise<void> => {
  const broker = brokerOf(stage);
  try {
    await broker.kill();
    await last(random, 0, 1_500);
  } finally {
    await broker.start();
  }
};

/** Short of memory, it takes nothing from publishers. */
const alarm = async (stage: Stage, random: Random): Promise<void> => {
  const broker = brokerOf(stage);
  try {
    await broker.control("set_vm_memory_high_watermark", "0");
    await last(random, 1_000, 2_500);
  } finally {
    await broker.control("set_vm_memory_high_watermark", "0.4");
  }
};

const closeConnections = async (stage: Stage): Promise<void> => {
  await brokerOf(stage).control("close_all_connections", "torture");
};

/** What empties the queue dies; messages wait for it, and come again. */
const killConsumer = async (stage: Stage, random: Random): Promise<void> => {
  const { name } = pickQueue(stage, random);
  try {
    await stage.sinks.kill(name);
    await last(random, 300, 1_500);
  } finally {
    await stage.sinks.start(name);
  }
};

/** Has the destination publish to where nothing is, and mends it. */
const misdirect =
  (wrong: Readonly<Record<string, string>>) =>
  async (stage: Stage, random: Random): Promise<void> => {
    const { destinationId } = pickQueue(stage, random);
    const update = "select outbox.update_destination($1, config => $2)";
    const [row] = await stage.admin.query<{ config: object }>("select config from outbox.destinations where id = $1", [
      destinationId,
    ]);
    try {
      await stage.admin.query(update, [destinationId, JSON.stringify({ ...row?.config, ...wrong })]);
      await last(random, 500, 2_000);
    } finally {
      await stage.admin.query(update, [destinationId, JSON.stringify(row?.config)]);
    }
  };

export const brokerFaults: readonly Fault[] = [
  { name: "broker_killed", lane: "edge", weight: 0.15, missing, strike: killAndStart },
  { name: "broker_blocks_publishers", lane: "edge", weight: 0.3, missing, strike: alarm },
  { name: "broker_closes_connections", lane: "edge", weight: 0.5, missing, strike: closeConnections },
  { name: "broker_consumer_killed", lane: "edge", weight: 0.5, missing, strike: killConsumer },
  {
    name: "broker_without_queue",
    lane: "edge",
    missing,
    strike: misdirect({ exchange: "", routing_key: "torture-no-such-queue" }),
  },
  {
    name: "broker_without_exchange",
    lane: "edge",
    missing,
    strike: misdirect({ exchange: "torture-no-such-exchange" }),
  },
];
