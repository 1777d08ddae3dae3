/**
 * Crash-point enumeration: a worker brings an event on its way, and is killed at the 1st fail point that it reaches, the
 * next at the 2nd, until none is left; so too at each statement that it sends to Postgres, before and after; and so too its
 * connection is cut. After each crash another worker must bring everything to the end that was promised.
 */
import { join } from "node:path";
import type { Cell } from "./crash/cell.ts";
import { type Ground, openGround } from "./crash/ground.ts";
import { describeCrash, type Scenario, scenarios } from "./crash/scenarios.ts";
import { listIdleStatements, type Plan, planOf, type Way, wayOf } from "./crash/survey.ts";
import { playTrial } from "./crash/trial.ts";
import type { Violation } from "./stage.ts";

export interface CrashPointsOptions {
  /** Of the installed package. */
  readonly packageDir: string;
  /** Superuser, to any database of a private cluster. */
  readonly serverUrl: string;
  /** For logs. */
  readonly folder: string;
  /** Databases in which workers crash at the same time. */
  readonly parallel: number;
  /** Only so many crashes, evenly spread. */
  readonly sample?: number;
  /** Crash at each time that a fail point is reached, not once on each main way: three times as many. Default: false. */
  readonly everyHit?: boolean;
  readonly log: (line: string) => void;
}

export interface CrashPointsReport {
  /** Different places in the code, and different statements, at which a worker was crashed. */
  readonly points: number;
  readonly statements: number;
  readonly crashes: number;
  /** Places that a worker came by once and then never again. */
  readonly missed: readonly string[];
  readonly violations: readonly Violation[];
}

/** Each way is walked so often before the crashes, since no two walks are quite the same. */
const walks = 2;
const triesMax = 3;

/** Does all jobs, so many at the same time, each in a cell; a cell in which something was violated is left. */
const inCells = async <Job>(
  { openCell }: Ground,
  parallel: number,
  jobs: readonly Job[],
  work: (cell: Cell, job: Job, index: number) => Promise<{ readonly violations: readonly Violation[] }>,
): Promise<void> => {
  const waiting = jobs.entries();
  const crew = async (): Promise<void> => {
    let next = waiting.next();
    while (next.done !== true) {
      await using cell = await openCell();
      for (let isSound = true; isSound && next.done !== true; next = waiting.next()) {
        const [index, job] = next.value;
        isSound = (await work(cell, job, index)).violations.length === 0;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, jobs.length) }, crew));
};

const listIdle = async ({ openCell }: Ground): Promise<ReadonlySet<string>> => {
  await using cell = await openCell();
  return await listIdleStatements(cell);
};

const survey = async (
  ground: Ground,
  { parallel, sample, everyHit = false }: CrashPointsOptions,
  violations: Violation[],
): Promise<Plan> => {
  const ways: Way[] = [];
  const times = sample === undefined ? walks : 1;
  const walked = scenarios.toReversed().flatMap((scenario) => new Array<Scenario>(times).fill(scenario));
  const walkAll = inCells(ground, parallel, walked, async (cell, scenario, index) => {
    const pointsFile = join(ground.folder, `walk-${index}.points`);
    const report = await playTrial({ cell, receiver: ground.receiver, scenario, pointsFile });
    violations.push(...report.violations);
    ways.push(wayOf(scenario, report, pointsFile));
    return report;
  });
  const [idle] = await Promise.all([listIdle(ground), walkAll]);
  return planOf(ways, idle, everyHit);
};

const evenlySpread = <T>(items: readonly T[], count: number): readonly T[] =>
  count >= items.length
    ? items
    : Array.from({ length: count }, (_, n) => items[Math.floor((n * items.length) / count)] as T);

/** Crashes at everything that is on an event's way. */
export const enumerateCrashPoints = async (options: CrashPointsOptions): Promise<CrashPointsReport> => {
  const { parallel, sample, log } = options;
  await using ground = await openGround(options);
  const violations: Violation[] = [];
  const missed: string[] = [];
  const plan = await survey(ground, options, violations);
  const trials = evenlySpread(plan.trials, sample ?? plan.trials.length);
  const { points, statements } = plan;
  log(`${points.size} crash points, ${statements.size} statements: ${trials.length} of ${plan.trials.length} crashes`);

  const recoveries: { readonly name: string; readonly ms: number }[] = [];
  await inCells(ground, parallel, trials, async (cell, { scenario, crash }) => {
    for (let tries = 1; ; tries += 1) {
      const report = await playTrial({ cell, receiver: ground.receiver, scenario, crash });
      if (report.isReached) recoveries.push({ name: describeCrash(scenario, crash), ms: report.recoveryMs });
      for (const violation of report.violations) log(`crash: ${violation.what}`);
      violations.push(...report.violations);
      if (report.isReached || report.violations.length > 0) return report;
      if (tries < triesMax) continue;
      missed.push(describeCrash(scenario, crash));
      return report;
    }
  });
  const [slowest] = recoveries.toSorted((one, other) => other.ms - one.ms);
  if (slowest !== undefined) log(`the slowest recovery took ${(slowest.ms / 1000).toFixed(1)} s: ${slowest.name}`);
  for (const name of missed) log(`not reached again: ${name}`);
  return { points: points.size, statements: statements.size, crashes: recoveries.length, missed, violations };
};
