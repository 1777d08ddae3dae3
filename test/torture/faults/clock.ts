/** Clocks that are wrong: that of Postgres jumps, that of a worker is hours off. */
import { existsSync } from "node:fs";
import type { Random } from "../random.ts";
import type { Fault, Stage } from "../stage.ts";
import { last, visit } from "./support.ts";

const architectures: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };
const library = `/usr/lib/${architectures[process.arch]}-linux-gnu/faketime/libfaketime.so.1`;

/**
 * What was put off while the clock was ahead waits for as long once it is back, and a worker that is lost then is believed
 * to live for as long.
 */
const secondsMax = 12;

const shiftPostgres =
  (direction: 1 | -1) =>
  async ({ cluster }: Stage, random: Random): Promise<void> => {
    try {
      await cluster.shiftClock?.(direction * random.whole(2, secondsMax));
      await last(random, 500, 1_500);
    } finally {
      await cluster.shiftClock?.(0);
    }
  };

const workerWithClock =
  (shift: string) =>
  (stage: Stage, random: Random): Promise<void> => {
    const env = { LD_PRELOAD: library, FAKETIME: shift, DONT_FAKE_MONOTONIC: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
    return visit(stage, { env }, () => last(random, 1_000, 2_500));
  };

const serverMissing = ({ cluster }: Stage): string | undefined =>
  cluster.shiftClock === undefined ? "libfaketime is not installed" : undefined;
const workerMissing = (): string | undefined => (existsSync(library) ? undefined : "libfaketime is not installed");

export const clockFaults: readonly Fault[] = [
  { name: "postgres_clock_ahead", lane: "database", weight: 0.5, missing: serverMissing, strike: shiftPostgres(1) },
  { name: "postgres_clock_behind", lane: "database", weight: 0.5, missing: serverMissing, strike: shiftPostgres(-1) },
  { name: "worker_clock_ahead", lane: "fleet", missing: workerMissing, strike: workerWithClock("+2h") },
  { name: "worker_clock_behind", lane: "fleet", missing: workerMissing, strike: workerWithClock("-2h") },
];
