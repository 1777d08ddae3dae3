/** Receivers that answer badly, late, never, or are gone. */
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../random.ts";
import type { Fault, Manner, Stage } from "../stage.ts";
import { last, pickWebhook } from "./support.ts";

/** Has sinks answer in a manner for a while. */
const behave = async (
  { sinks }: Stage,
  names: readonly string[],
  manner: Manner,
  whileSo: () => Promise<void>,
): Promise<void> => {
  try {
    await Promise.all(names.map((name) => sinks.behave(name, manner)));
    await whileSo();
  } finally {
    await Promise.all(names.map((name) => sinks.behave(name, "well")));
  }
};

const webhooksOf = ({ sinks }: Stage): readonly string[] =>
  sinks.all.filter(({ type }) => type === "webhook").map(({ name }) => name);

const manners = [
  "failing",
  "busy",
  "slow",
  "late",
  "dripping",
  "endless",
  "silent",
  "resetting",
  "lying",
  "redirecting",
  "garbage",
] as const satisfies readonly Manner[];

const flaps = 10;
const flapMs = 150;

/** Answers well and badly in turns. */
const flap = async (stage: Stage, random: Random): Promise<void> => {
  const { name } = pickWebhook(stage, random);
  for (let n = 0; n < flaps; n++) {
    await behave(stage, [name], random.pick(manners), () => pause(flapMs));
    await pause(flapMs);
  }
};

const killAndStart = async (stage: Stage, random: Random): Promise<void> => {
  const { name } = pickWebhook(stage, random);
  try {
    await stage.sinks.kill(name);
    await last(random, 0, 2_000);
  } finally {
    await stage.sinks.start(name);
  }
};

export const sinkFaults: readonly Fault[] = [
  ...manners.map<Fault>((manner) => ({
    name: `sink_${manner}`,
    lane: "edge",
    strike: (stage, random) => behave(stage, [pickWebhook(stage, random).name], manner, () => last(random, 500, 2_000)),
  })),
  {
    name: "sinks_all_failing",
    lane: "edge",
    weight: 0.3,
    strike: (stage, random) => behave(stage, webhooksOf(stage), random.pick(manners), () => last(random, 500, 2_000)),
  },
  { name: "sink_flapping", lane: "edge", strike: flap },
  { name: "sink_killed", lane: "edge", weight: 2, strike: killAndStart },
];
