/** What is on the ways: undisturbed workers walk them and say what they come by; each of that is a place to crash at. */
import { existsSync, readFileSync } from "node:fs";
import { within } from "../../chaos/support/ledger.ts";
import type { Cell } from "./cell.ts";
import type { Crash, Scenario } from "./scenarios.ts";
import { type StatementCounts, stopMark, type TrialReport } from "./trial.ts";

/** A fail point, the how manieth time it is reached, and whether the worker is stopping then. */
export interface Hit {
  readonly point: string;
  readonly hit: number;
  readonly needsStop: boolean;
}

/** What is on the way of a scenario. */
export interface Way {
  readonly scenario: Scenario;
  readonly hits: readonly Hit[];
  readonly statements: StatementCounts;
  readonly statementsBeforeStop: StatementCounts;
  readonly arrivals: number;
}

const heartbeatMsMax = 15_000;

/** The statements that a worker without events sends: those by the clock. */
export const listIdleStatements = async ({ tap, ready }: Cell): Promise<ReadonlySet<string>> => {
  await ready(false);
  // Each duty runs when the worker joins, this one every two seconds.
  await within(heartbeatMsMax, "two heartbeats", () => (tap.counts.get("heartbeat") ?? 0) >= 2);
  return new Set(tap.counts.keys());
};

const readHits = (pointsFile: string): Hit[] => {
  const lines = existsSync(pointsFile) ? readFileSync(pointsFile, "utf8").trimEnd().split("\n") : [];
  const times = new Map<string, number>();
  let needsStop = false;
  return lines.flatMap((point) => {
    const hit = (times.get(point) ?? 0) + 1;
    times.set(point, hit);
    if (point !== stopMark) return [{ point, hit, needsStop }];
    needsStop = true;
    return [];
  });
};

export const wayOf = (scenario: Scenario, report: TrialReport, pointsFile: string): Way => ({
  ...report,
  scenario,
  hits: readHits(pointsFile),
});

const nameOf = ({ point, hit }: Hit): string => `${point} ${hit}`;

/** No two walks are quite the same: all hits of any of them. */
const hitsOf = (ways: readonly Way[]): readonly Hit[] => {
  const groups = Map.groupBy(
    ways.flatMap(({ hits }) => hits),
    nameOf,
  );
  return [...groups.values()].map(([hit]) => hit as Hit);
};

/** Of each point the first or the last hit of those that most walks have. */
const oneOfEach = (ways: readonly Way[], hits: readonly Hit[], which: Scenario["hit"]): readonly Hit[] => {
  const times = (hit: Hit): number =>
    ways.filter((way) => way.hits.some((other) => nameOf(other) === nameOf(hit))).length;
  return [...Map.groupBy(hits, ({ point }) => point).values()].flatMap((same) => {
    const most = Math.max(...same.map(times));
    const steady = same.filter((hit) => times(hit) === most).toSorted((one, other) => one.hit - other.hit);
    return steady.at(which === "first" ? 0 : -1) ?? [];
  });
};

const isTried = (
  { tried }: Scenario,
  { point, needsStop }: Hit,
  main: ReadonlySet<string>,
  everyHit: boolean,
): boolean => {
  if (tried === "all") return true;
  if (tried === "before stop") return !needsStop;
  return (everyHit && tried === "after stop" && needsStop) || !main.has(point);
};

const strikesOf = (ways: readonly Way[], idle: ReadonlySet<string>): Crash[] => {
  const names = new Set(ways.flatMap(({ statements }) => [...statements.keys()]).filter((name) => !idle.has(name)));
  return [...names].flatMap((statement) => {
    const times = Math.max(...ways.map(({ statements }) => statements.get(statement) ?? 0));
    const timesBeforeStop = Math.max(...ways.map((way) => way.statementsBeforeStop.get(statement) ?? 0));
    return Array.from({ length: times }, (_, index) => index + 1).flatMap((nth) =>
      (["kill", "cut"] as const).flatMap((by) =>
        (["before", "after"] as const).map(
          (moment): Crash => ({
            kind: "statement",
            strike: { statement, nth, moment, by },
            needsStop: nth > timesBeforeStop,
          }),
        ),
      ),
    );
  });
};

const arrivalsOf = (ways: readonly Way[]): Crash[] =>
  Array.from({ length: Math.max(...ways.map(({ arrivals }) => arrivals)) }, (_, index) => ({
    kind: "arrival",
    nth: index + 1,
    needsStop: false,
  }));

/** All that is to be tried. */
export interface Plan {
  readonly trials: readonly { readonly scenario: Scenario; readonly crash: Crash }[];
  /** Different fail points, and different statements. */
  readonly points: ReadonlySet<string>;
  readonly statements: ReadonlySet<string>;
}

/**
 * @param idle what a worker sends that has nothing to deliver
 * @param everyHit whether a point is crashed at each time that it is reached, or once on each main way
 */
export const planOf = (ways: readonly Way[], idle: ReadonlySet<string>, everyHit: boolean): Plan => {
  const mainWays = ways.filter(({ scenario }) => scenario.hasStrikes);
  const main = new Set(hitsOf(mainWays).map(({ point }) => point));
  const trials = [...Map.groupBy(ways, ({ scenario }) => scenario)].flatMap(([scenario, walked]) => {
    const hits = hitsOf(walked).filter((hit) => isTried(scenario, hit, main, everyHit));
    const chosen = everyHit ? hits : oneOfEach(walked, hits, scenario.hit);
    const strikes = scenario.hasStrikes ? [...strikesOf(walked, idle), ...arrivalsOf(walked)] : [];
    return [...chosen.map((hit): Crash => ({ kind: "point", ...hit })), ...strikes].map((crash) => ({
      scenario,
      crash,
    }));
  });
  const crashes = trials.map(({ crash }) => crash);
  return {
    trials,
    points: new Set(crashes.flatMap((crash) => (crash.kind === "point" ? [crash.point] : []))),
    statements: new Set(crashes.flatMap((crash) => (crash.kind === "statement" ? [crash.strike.statement] : []))),
  };
};
