/** Names of receivers that resolve to nothing, late, or to somewhere else. */
import { setTimeout as pause } from "node:timers/promises";
import { within } from "../../chaos/support/ledger.ts";
import type { Random } from "../random.ts";
import type { Fault, NameAnswer, Sink, Stage } from "../stage.ts";
import { breakConnections, last, pickWebhook } from "./support.ts";

const nameOf = ({ url }: Sink): string => new URL(url).hostname;

/** Where addresses are not all ours, other people's must not be asked, and nobody watches the forbidden ones. */
const missing = ({ isNetworkPrivate }: Stage): string | undefined =>
  isNetworkPrivate ? undefined : "the network is not private";

/** Has a sink's name answer something else for a while, with the connections gone that were made before. */
const answer = async (
  stage: Stage,
  sink: Sink,
  choose: (present: NameAnswer) => NameAnswer,
  random: Random,
): Promise<void> => {
  const name = nameOf(sink);
  const present = stage.names.get(name);
  try {
    stage.names.set(name, choose(present));
    await breakConnections(stage, sink.name);
    await last(random, 500, 2_000);
  } finally {
    stage.names.set(name, present);
  }
};

const answers = ["nxdomain", "refused", "servfail", "silent"] as const satisfies readonly NameAnswer[];

/** Public, and nobody listens. */
const elsewhere: NameAnswer = { a: ["93.184.220.220"] };

const forbidden = [
  { a: ["169.254.169.254"] },
  { a: ["10.0.0.1"] },
  { a: ["127.0.0.1"] },
  { aaaa: ["::1"] },
  { aaaa: ["::ffff:a9fe:a9fe"] },
  { aaaa: ["fd00:ec2::254"] },
] as const satisfies readonly NameAnswer[];

/** A forbidden address beside the right one is forbidden all the same. */
const besides = (present: NameAnswer): NameAnswer =>
  typeof present === "string" ? present : { ...present, a: [...(present.a ?? []), "10.0.0.1"] };

const lookupMsMax = 200;
const settleMsMax = 60_000;

/**
 * A forbidden address is final: what was sent meanwhile is dead. Once the name is mended, a person redrives that, when
 * everything has ended that may still have seen the wrong address.
 */
const redriveBlocked = async ({ admin }: Stage, { destinationId }: Sink): Promise<void> => {
  await pause(lookupMsMax);
  const attempt = "concat_ws(' ', d.event_id, d.subscription_id, d.attempt_count)";
  const claimed = "d.destination_id = $1 and d.status = 'pending' and d.claimed_by is not null";
  const [row] = await admin.query<{ attempts: readonly string[] }>(
    `select coalesce(array_agg(${attempt}), '{}') as attempts from outbox.deliveries as d where ${claimed}`,
    [destinationId],
  );
  await within(settleMsMax, "attempts from before the name was mended have ended", async () => {
    const open = await admin.query(
      `select from outbox.deliveries as d where ${claimed} and ${attempt} = any ($2) limit 1`,
      [destinationId, row?.attempts],
    );
    return open.length === 0;
  });
  await admin.query(
    "select from outbox.redrive(destination_id => $1, error_code => 'blocked_address', statuses => '{dead}', max => 100000)",
    [destinationId],
  );
};

const leadAstray = async (stage: Stage, random: Random): Promise<void> => {
  const sink = pickWebhook(stage, random);
  const chosen = random.pick(forbidden);
  const isMixed = random.next() < 0.25;
  try {
    await answer(stage, sink, (present) => (isMixed ? besides(present) : chosen), random);
  } finally {
    await redriveBlocked(stage, sink);
  }
};

export const nameFaults: readonly Fault[] = [
  ...answers.map<Fault>((chosen) => ({
    name: `name_${chosen}`,
    lane: "edge",
    strike: (stage, random) => answer(stage, pickWebhook(stage, random), () => chosen, random),
  })),
  {
    name: "name_leads_elsewhere",
    lane: "edge",
    missing,
    strike: (stage, random) => answer(stage, pickWebhook(stage, random), () => elsewhere, random),
  },
  { name: "name_leads_to_a_forbidden_address", lane: "edge", weight: 2, missing, strike: leadAstray },
];
