/** The ways of an event that are walked, again and again, by workers that crash on them. */
import type { Reply } from "../../support/receiver.ts";
import { fetchStatement, type Strike } from "./tap.ts";

export interface Scenario {
  readonly name: string;
  /** Whether the subscription is ordered; the events are of one key. */
  readonly isOrdered: boolean;
  readonly events: number;
  /** The answer to the first arrival of all; what comes later is taken with 200. */
  readonly firstAnswer: Reply;
  /** When the worker is asked to stop: when all is done, or as the first event arrives. */
  readonly stopAt: "rest" | "arrival";
  /** Connections to Postgres that are cut on the way. */
  readonly cuts: readonly Strike[];
  /** Which of the fail points on the way are tried: all, those before or after the stop, or those that are on no main way. */
  readonly tried: "all" | "before stop" | "after stop" | "new";
  /** Where not each hit of a fail point is tried: which one is. */
  readonly hit: "first" | "last";
  /** Whether it is struck at each statement and each arrival as well. */
  readonly hasStrikes: boolean;
}

const way = {
  isOrdered: false,
  events: 1,
  firstAnswer: 500,
  stopAt: "rest",
  cuts: [],
  tried: "all",
  hit: "first",
  hasStrikes: true,
} as const;

const lost = (statement: string): Strike => ({ statement, nth: 1, moment: "after", by: "cut" });

export const scenarios: readonly Scenario[] = [
  { ...way, name: "plain" },
  // At the last hits the followers of a lane are on their way.
  { ...way, name: "ordered", isOrdered: true, events: 3, tried: "before stop", hit: "last" },
  { ...way, name: "stopping", stopAt: "arrival", tried: "after stop", hasStrikes: false },
  // No answer comes, so the worker breaks off.
  { ...way, name: "giving up", firstAnswer: "open", stopAt: "arrival", tried: "after stop", hasStrikes: false },
  {
    ...way,
    name: "answers lost",
    cuts: [fetchStatement, "load_deliveries", "record_attempts", "record_delivered"].map(lost),
    tried: "new",
    hasStrikes: false,
  },
];

/** One way to crash in a scenario. */
export type Crash =
  | { readonly kind: "point"; readonly point: string; readonly hit: number; readonly needsStop: boolean }
  | { readonly kind: "statement"; readonly strike: Strike; readonly needsStop: boolean }
  /** The receiver has it, and the worker dies before the answer. */
  | { readonly kind: "arrival"; readonly nth: number; readonly needsStop: false };

/** A crash as it is named in reports. */
export const describeCrash = (scenario: Scenario, crash: Crash): string => {
  switch (crash.kind) {
    case "point":
      return `${scenario.name}: killed at ${crash.point}, hit ${crash.hit}`;
    case "statement": {
      const { by, moment, statement, nth } = crash.strike;
      const what = by === "kill" ? "killed" : "connection cut";
      return `${scenario.name}: ${what} ${moment === "before" ? "before" : "after the server's answer to"} ${statement}, no. ${nth}`;
    }
    case "arrival":
      return `${scenario.name}: killed at arrival ${crash.nth}`;
  }
};
