/** One way of events, with a crash on it or none, and what became of them when another worker had finished. */
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { within } from "../../chaos/support/ledger.ts";
import type { Reply } from "../../support/receiver.ts";
import type { CheckName, Violation } from "../stage.ts";
import type { Cell } from "./cell.ts";
import type { DoomedWorker } from "./doomed.ts";
import { type Entry, entriesSql, explain, type Finding } from "./explain.ts";
import type { CrashReceiver } from "./receiver.ts";
import { type Crash, describeCrash, type Scenario } from "./scenarios.ts";

/** In the list of fail points: from here on the worker stops. */
export const stopMark = "stop";

export interface TrialOptions {
  readonly cell: Cell;
  readonly receiver: CrashReceiver;
  readonly scenario: Scenario;
  /** Undefined: the whole way, to see what is on it. */
  readonly crash?: Crash;
  /** Where the worker writes down the fail points that it reaches. */
  readonly pointsFile?: string;
}

/** How often each statement was sent. */
export type StatementCounts = ReadonlyMap<string, number>;

export interface TrialReport {
  /** Whether the worker came to where it was to crash. */
  readonly isReached: boolean;
  readonly violations: readonly Violation[];
  /** From the end of the worker, or from when it was done, until all was at rest. */
  readonly recoveryMs: number;
  /** What came from the worker until it ended. */
  readonly arrivals: number;
  readonly statements: StatementCounts;
  readonly statementsBeforeStop: StatementCounts;
}

const wayMsMax = 45_000;
const stopMsMax = 15_000;
/** So long an answer takes after the worker was asked to stop. */
const answerMs = 100;
/** When the database has all, the worker may still hear of it, and crash on that. */
const echoMs = 250;

/** A worker on its way. */
const createWalk = (options: TrialOptions, worker: DoomedWorker) => {
  const { cell, scenario, crash, pointsFile } = options;
  const findings: Finding[] = [];
  let statementsBeforeStop: StatementCounts | undefined;

  const stop = async (): Promise<void> => {
    if (pointsFile !== undefined) appendFileSync(pointsFile, `${stopMark}\n`);
    statementsBeforeStop = new Map(cell.tap.counts);
    worker.signal("SIGTERM");
    const impatient = setTimeout(() => {
      findings.push({ check: "liveness", what: `the worker did not stop within ${stopMsMax / 1000} s` });
      worker.signal("SIGKILL");
    }, stopMsMax);
    await worker.ended;
    clearTimeout(impatient);
  };

  const answer = async (nth: number): Promise<Reply> => {
    if (crash?.kind === "arrival" && crash.nth === nth) {
      worker.signal("SIGKILL");
      return "open";
    }
    if (nth > 1) return 200;
    if (scenario.stopAt === "arrival") {
      void stop();
      await pause(answerMs);
    }
    return scenario.firstAnswer;
  };

  const untilDeadOrDone = async (): Promise<void> => {
    try {
      await within(wayMsMax, "dead or done", async () => !worker.isAlive || (await cell.isAtRest()));
      if (!worker.isAlive) return;
      if (crash === undefined || crash.needsStop) await stop();
      else await Promise.race([worker.ended, pause(echoMs).then(worker.disarm)]);
    } catch (error) {
      findings.push({ check: "liveness", what: String(error) });
      worker.signal("SIGKILL");
      await worker.ended;
    }
  };

  return {
    answer,
    untilDeadOrDone,
    findings,
    statementsBeforeStop: (): StatementCounts => statementsBeforeStop ?? new Map(cell.tap.counts),
  };
};

const insertEvents = async ({ cell, scenario }: TrialOptions, topic: string, trial: number): Promise<void> => {
  await cell.query(
    `insert into outbox.events (topic, key, payload)
     select $1, $2, json_build_object('trial', $3::integer, 'n', n) from generate_series(1, $4) as n order by n`,
    [topic, scenario.isOrdered ? "key" : null, trial, scenario.events],
  );
};

/** What the end of the worker says; after an orderly one nothing may be held, unless it was cut off just then. */
const buryWorker = async ({ cell, crash }: TrialOptions, worker: DoomedWorker): Promise<Finding[]> => {
  if (worker.isAlive) return [];
  const { code, signal } = await worker.ended;
  const held = Object.entries(await cell.bury()).map(([name, count]) => `${count} ${name}`);
  if (signal !== null) return [];
  const findings: Finding[] = code === 0 ? [] : [{ check: "liveness", what: `the worker ended with code ${code}` }];
  if (held.length === 0 || crash?.needsStop === true) return findings;
  return [...findings, { check: "limbo", what: `an orderly stop left ${held.join(", ")}` }];
};

const hasReached = async ({ cell, crash }: TrialOptions, worker: DoomedWorker): Promise<boolean> => {
  if (crash?.kind === "statement" && crash.strike.by === "cut") return cell.tap.strikesLeft() === 0;
  return crash === undefined || (!worker.isAlive && (await worker.ended).signal === "SIGKILL");
};

const untilRest = async (cell: Cell): Promise<Finding[]> => {
  try {
    await cell.ready();
    return [];
  } catch (error) {
    return [{ check: "limbo" as CheckName, what: String(error) }];
  }
};

/** Plays a trial. Afterwards another worker has finished, and all is at rest, or a violation says that it is not. */
export const playTrial = async (options: TrialOptions): Promise<TrialReport> => {
  const { cell, receiver, scenario, crash, pointsFile } = options;
  const worker = await cell.ready();
  const topic = cell.useTopic(scenario.isOrdered);
  const walk = createWalk(options, worker);
  const reception = receiver.receive(walk.answer);
  const strikes = crash?.kind === "statement" ? [...scenario.cuts, crash.strike] : scenario.cuts;
  cell.tap.arm(strikes, () => worker.signal("SIGKILL"));
  await worker.arm({
    ...(pointsFile !== undefined && { pointsFile }),
    ...(crash?.kind === "point" && { point: crash.point, hit: crash.hit }),
  });
  await insertEvents(options, topic, reception.trial);
  await walk.untilDeadOrDone();

  const isReached = await hasReached(options, worker);
  const statements = new Map(cell.tap.counts);
  const arrivals = reception.arrivals.length;
  const endedAt = performance.now();
  const findings = [...walk.findings, ...(await buryWorker(options, worker)), ...(await untilRest(cell))];
  const recoveryMs = performance.now() - endedAt;
  findings.push(...explain(await cell.query<Entry>(entriesSql, [topic]), reception.arrivals, scenario));
  const name = crash === undefined ? `${scenario.name}: no crash` : describeCrash(scenario, crash);
  return {
    isReached,
    recoveryMs,
    arrivals,
    statements,
    statementsBeforeStop: walk.statementsBeforeStop(),
    violations: findings.map(({ check, what }) => ({ check, what: `${name}: ${what} (${cell.logFile})` })),
  };
};
