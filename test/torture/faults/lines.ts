/** The lines to Postgres, disturbed: that of the workers, and that of the producers. */
import type { Random } from "../random.ts";
import type { Fault, Line, Stage } from "../stage.ts";
import { last } from "./support.ts";

type Disturbance = (line: Line, random: Random) => void | Promise<void>;

/** Disturbs a line for a while, and mends it. */
const disturb =
  (which: "line" | "producerLine", disturbance: Disturbance, [msMin, msMax]: readonly [number, number]) =>
  async (stage: Stage, random: Random): Promise<void> => {
    const line = stage[which];
    try {
      await disturbance(line, random);
      await last(random, msMin, msMax);
    } finally {
      await line.heal();
    }
  };

const disturbances = {
  delayed: (line, random) => line.delay(random.whole(20, 400)),
  dripping: (line, random) => line.drip(random.whole(300, 5_000)),
  frozen: (line) => line.freeze(),
  answers_lost: (line) => line.swallow(),
  cut: (line) => line.cut(),
  refused: (line) => line.refuse(),
} as const satisfies Readonly<Record<string, Disturbance>>;

const durationsMs = {
  delayed: [1_000, 3_000],
  dripping: [1_000, 3_000],
  frozen: [1_000, 4_000],
  answers_lost: [300, 1_000],
  cut: [0, 200],
  refused: [500, 2_500],
} as const satisfies Readonly<Record<keyof typeof disturbances, readonly [number, number]>>;

const kinds = Object.keys(disturbances) as (keyof typeof disturbances)[];

/** How often a line is cut in one go. */
const cuts = 10;

export const lineFaults: readonly Fault[] = [
  ...kinds.map<Fault>((kind) => ({
    name: `line_${kind}`,
    lane: "database",
    strike: disturb("line", disturbances[kind], durationsMs[kind]),
  })),
  {
    name: "line_frozen_beyond_the_lease",
    lane: "database",
    weight: 0.2,
    strike: disturb("line", disturbances.frozen, [11_500, 13_000]),
  },
  {
    name: "line_cut_again_and_again",
    lane: "database",
    strike: async ({ line }, random) => {
      for (let n = 0; n < cuts; n++) {
        line.cut();
        await last(random, 50, 250);
      }
    },
  },
  ...kinds.map<Fault>((kind) => ({
    name: `producer_line_${kind}`,
    lane: "edge",
    weight: 0.5,
    strike: disturb("producerLine", disturbances[kind], durationsMs[kind]),
  })),
];
