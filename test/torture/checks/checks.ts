/** All checks of a stage: what may be asked while faults go on, and what must hold when everything has come to rest. */
import { setTimeout as pause } from "node:timers/promises";
import type { Violation } from "../stage.ts";
import { type Arrival, type CheckerInput, isAcknowledged, openBooks } from "./books.ts";
import { changedIn } from "./bytes.ts";
import { compareAll, compareArrived } from "./compare.ts";
import { arrivedTwiceIn } from "./duplicates.ts";
import { createFindings, type Findings } from "./findings.ts";
import { trespassIn } from "./forbidden.ts";
import { createLimboWatch, limboAtRest } from "./limbo.ts";
import { findDeferred, unfinishedAtRest } from "./liveness.ts";
import { type Suspect, stillMissing } from "./loss.ts";
import { createOrderCheck } from "./order.ts";
import { findPhantoms, phantomOf, unwantedIn } from "./phantom.ts";
import { findSecrets } from "./secrets.ts";
import { strayIn } from "./tenants.ts";
import { readUnfinished } from "./unfinished.ts";

export type { CheckerInput } from "./books.ts";

export interface CheckerFigures {
  /** That producers meant to commit. */
  readonly events: number;
  readonly acknowledged: number;
  readonly arrivals: number;
  readonly duplicates: number;
  /** As of the last time at rest. */
  readonly duplicatesByCause: Readonly<Record<string, number>>;
}

/** Reads the ledgers of the stage on: nobody else may, they say each thing once. */
export interface Checker {
  /** What can be said while faults go on: what was found since the last call, and limbo that lasts too long. */
  readonly running: () => Promise<readonly Violation[]>;
  /** Everything, also what was found before, of a stage that has come to rest or should have. */
  readonly atRest: () => Promise<readonly Violation[]>;
  readonly figures: () => CheckerFigures;
}

/** A message that its broker has confirmed may still wait for its consumer. */
const drainMsMax = 5_000;
const pollMs = 100;

/** Creates the checker of a stage; its sinks may be added later. */
export const createChecker = (stage: CheckerInput, now: () => number = () => performance.now()): Checker => {
  const { admin, canaries } = stage;
  const books = openBooks(stage);
  const order = createOrderCheck();
  const limbo = createLimboWatch(admin, now);
  /** What lines of the ledgers have shown by themselves so far. */
  const shown = createFindings();
  let causes: Readonly<Record<string, number>> = {};

  const comparisonFor = (findings: Findings) => ({ admin, sinks: stage.sinks.all, books, findings });
  const judge = (findings: Findings, arrival: Arrival): void => {
    findings.add("phantom", [unwantedIn(arrival)]);
    findings.add("tenants", [strayIn(arrival)]);
    findings.add("bytes", changedIn(arrival));
    findings.add("order", [order.disorderIn(arrival)]);
  };
  const readOn = async () => {
    const arrivals = await books.read();
    const fresh = createFindings();
    for (const arrival of arrivals) judge(fresh, arrival);
    fresh.add("forbidden", canaries().map(trespassIn));
    shown.join(fresh);
    return { arrivals, fresh };
  };
  const untilArrived = async (suspects: readonly Suspect[]): Promise<readonly Suspect[]> => {
    const giveUpAt = performance.now() + drainMsMax;
    for (let missing = suspects; ; await pause(pollMs)) {
      if (missing.length > 0) await readOn();
      missing = stillMissing(missing, books);
      const mayCome = missing.some(({ place }) => stage.sinks.all[place]?.type === "rabbitmq");
      if (!mayCome || performance.now() > giveUpAt) return missing;
    }
  };

  const running = async (): Promise<readonly Violation[]> => {
    const { arrivals, fresh } = await readOn();
    const touched = [...new Set(arrivals.map(({ arrived }) => arrived))];
    fresh.add("phantom", touched.map(phantomOf));
    fresh.add("duplicates", touched.map(arrivedTwiceIn));
    await compareArrived(comparisonFor(fresh), touched);
    fresh.add("limbo", await limbo.look());
    return fresh.list();
  };
  const atRest = async (): Promise<readonly Violation[]> => {
    const found = createFindings();
    await readOn();
    const compared = await compareAll(comparisonFor(found));
    causes = compared.causes;
    const missing = await untilArrived(compared.suspects);
    const unfinished = await readUnfinished(admin);
    found.add(
      "loss",
      missing.map(({ what }) => what),
    );
    found.add("phantom", findPhantoms(books));
    found.add("limbo", limboAtRest(unfinished));
    found.add("liveness", [...unfinishedAtRest(unfinished), ...(await findDeferred(admin))]);
    found.add("secrets", await findSecrets(stage));
    const all = createFindings();
    all.join(shown);
    all.join(found);
    return all.list();
  };
  const figures = (): CheckerFigures => ({
    events: books.events.size,
    acknowledged: [...books.events.values()].filter(isAcknowledged).length,
    arrivals: books.arrivals,
    duplicates: books.repeats,
    duplicatesByCause: causes,
  });
  return { running, atRest, figures };
};
