/** What people do to destinations while events are on their way. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Random } from "../random.ts";
import type { Fault, Sink, Stage } from "../stage.ts";
import { last, pickWebhook, tenantOfUnseenEvents } from "./support.ts";

const newSecret = (): string => `whsec_${randomBytes(32).toString("base64")}`;

const overlap = "5 seconds";

/** The receiver is told of a secret first, as the customer would be. */
const rotate = async ({ admin, sinks }: Stage, { name, destinationId }: Sink): Promise<void> => {
  const secret = newSecret();
  await sinks.trust(name, secret);
  await admin.query("select outbox.rotate_secret($1, $2::interval, $3)", [destinationId, overlap, secret]);
};

const rotations = 8;

const rotateAgainAndAgain = async (stage: Stage, random: Random): Promise<void> => {
  const sink = pickWebhook(stage, random);
  for (let n = 0; n < rotations; n++) {
    await rotate(stage, sink);
    await last(random, 20, 150);
  }
};

const disable = async ({ admin, sinks }: Stage, random: Random): Promise<void> => {
  const { destinationId } = random.pick(sinks.all);
  try {
    await admin.query("select outbox.disable_destination($1, 'torture')", [destinationId]);
    await last(random, 300, 2_000);
  } finally {
    await admin.query("select outbox.enable_destination($1)", [destinationId]);
  }
};

const touches = 8;

/** Writes what is there already: workers read the destination anew and open new connections each time. */
const touch = async ({ admin, sinks }: Stage, random: Random): Promise<void> => {
  const { destinationId } = random.pick(sinks.all);
  for (let n = 0; n < touches; n++) {
    await admin.query(
      "select outbox.update_destination(id, config => config, policy => policy) from outbox.destinations where id = $1",
      [destinationId],
    );
    await last(random, 20, 200);
  }
};

const narrowings = [{ in_flight_max: 1 }, { in_flight_max: 3 }, { rate_per_second: 10, burst: 2 }] as const;

/** Lets few through for a while. */
const narrow = async ({ admin, sinks }: Stage, random: Random): Promise<void> => {
  const { destinationId } = random.pick(sinks.all);
  const update = "select outbox.update_destination($1, policy => $2)";
  const [row] = await admin.query<{ policy: object }>("select policy from outbox.destinations where id = $1", [
    destinationId,
  ]);
  try {
    await admin.query(update, [destinationId, JSON.stringify({ ...row?.policy, ...random.pick(narrowings) })]);
    await last(random, 800, 2_000);
  } finally {
    await admin.query(update, [destinationId, JSON.stringify(row?.policy)]);
  }
};

/** Nobody listens there. */
const urlOfNobody = ({ isNetworkPrivate }: Stage): string =>
  isNetworkPrivate ? "http://93.184.220.221:8080/" : "http://127.0.0.1:1/";

/** A destination that wants everything of a tenant comes and goes; nothing of it ever arrives. By name: the making may be repeated. */
const comeAndGo = async (stage: Stage, random: Random): Promise<void> => {
  const { admin, sinks } = stage;
  const { tenant } = random.pick(sinks.all);
  const name = `passing ${randomUUID()}`;
  try {
    await admin.query(
      `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), tenant_id => $2, ordered => $3, name => $4)
       where not exists (select from outbox.destinations where name = $4)`,
      [urlOfNobody(stage), tenant, random.next() < 0.5, name],
    );
    await last(random, 300, 1_500);
  } finally {
    await admin.query(
      "select outbox.delete_destination(id) from outbox.destinations where name = $1 and deleted_at is null",
      [name],
    );
  }
};

const topicOfNobody = "torture.never";

/** A subscription beside that of the sink, to what there never is. */
const subscribeAndLeave = async ({ admin, sinks }: Stage, random: Random): Promise<void> => {
  const { destinationId } = random.pick(sinks.all);
  try {
    await admin.query("select outbox.create_subscription($1, topics => array[$2])", [destinationId, topicOfNobody]);
    await last(random, 100, 1_000);
  } finally {
    await admin.query(
      "select outbox.delete_subscription(id) from outbox.subscriptions where destination_id = $1 and topics = array[$2]",
      [destinationId, topicOfNobody],
    );
  }
};

/** Writes the filter that is there already. */
const refilter = async (stage: Stage, random: Random): Promise<void> => {
  const { admin, sinks } = stage;
  const untouched = tenantOfUnseenEvents(stage);
  const others = sinks.all.filter(({ tenant }) => tenant !== untouched);
  const { subscriptionId } = random.pick(others.length > 0 ? others : sinks.all);
  for (let n = 0; n < touches; n++) {
    await admin.query(
      "select outbox.update_subscription(id, topics => topics, filter => filter) from outbox.subscriptions where id = $1",
      [subscriptionId],
    );
    await last(random, 20, 200);
  }
};

export const administrationFaults: readonly Fault[] = [
  {
    name: "secret_rotated",
    lane: "edge",
    strike: (stage, random) => rotate(stage, pickWebhook(stage, random)),
  },
  { name: "secret_rotated_again_and_again", lane: "edge", weight: 0.5, strike: rotateAgainAndAgain },
  { name: "destination_disabled", lane: "edge", weight: 2, strike: disable },
  { name: "destination_touched", lane: "edge", strike: touch },
  { name: "destination_narrowed", lane: "edge", strike: narrow },
  { name: "destination_comes_and_goes", lane: "edge", strike: comeAndGo },
  { name: "subscription_comes_and_goes", lane: "edge", strike: subscribeAndLeave },
  { name: "subscription_filtered_anew", lane: "edge", strike: refilter },
];
