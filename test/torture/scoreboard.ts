/** What a run was and showed: a table for people, and the file that the README's figures come from. */
import { cpus, release } from "node:os";
import { percentile } from "../scenarios/support.ts";
import type { CheckerFigures } from "./checks/checks.ts";
import type { CrashPointsReport } from "./crash_points.ts";
import type { MutantReport } from "./mutants/mutant.ts";
import { type CheckName, checkNames, type Violation } from "./stage.ts";
import type { StormReport } from "./storm.ts";

/** All that a run may have had; parts that it left out are undefined. */
export interface Run {
  readonly profile: string;
  readonly seed: number;
  readonly seconds: number;
  readonly isNetworkPrivate: boolean;
  readonly postgres: string;
  readonly storm?: StormReport | undefined;
  readonly figures?: CheckerFigures | undefined;
  readonly crash?: CrashPointsReport | undefined;
  readonly mutants?: readonly MutantReport[] | undefined;
}

/** What one machine cannot show. */
const beyondOneMachine = [
  "power loss: a killed process leaves its writes to the kernel",
  "fail-over to another Postgres server",
  "the real clouds: brokers other than RabbitMQ are covered by the tests of their destination types",
];

const rounded = (figure: number): number => Math.round(figure * 10) / 10;
const countOf = (violations: readonly Violation[], check: CheckName): number =>
  violations.filter((violation) => violation.check === check).length;

/** The scoreboard as it is written down. */
export const scoreboardOf = (run: Run) => {
  const { storm, figures, crash, mutants } = run;
  const violations = [...(storm?.violations ?? []), ...(crash?.violations ?? [])];
  const recoveriesSeconds = storm?.recoveriesMs.map((ms) => ms / 1000) ?? [];
  const survived = mutants?.filter(({ killed }) => !killed).map(({ name }) => name);
  return {
    profile: run.profile,
    seed: run.seed,
    seconds: Math.round(run.seconds),
    conditions: {
      cores: cpus().length,
      kernel: release().split("-", 1)[0],
      node: process.version,
      postgres: run.postgres,
      address_guard: run.isNetworkPrivate ? "on" : "opened for 127.0.0.0/8",
    },
    events: figures?.acknowledged,
    arrivals: figures?.arrivals,
    faults: storm && Object.values(storm.faults).reduce((sum, n) => sum + n, 0),
    fault_kinds: storm && Object.keys(storm.faults).length,
    faults_by_kind: storm && Object.fromEntries(Object.entries(storm.faults).toSorted()),
    violations: Object.fromEntries(checkNames.map((check) => [check, countOf(violations, check)])),
    first_violations: violations.slice(0, 20),
    duplicates: figures?.duplicates,
    duplicates_by_cause: figures?.duplicatesByCause,
    recovery_seconds: storm && {
      p50: rounded(percentile(recoveriesSeconds, 0.5)),
      p99: rounded(percentile(recoveriesSeconds, 0.99)),
    },
    rest_seconds: storm && rounded(storm.restSeconds),
    crash_points: crash?.points,
    crash_statements: crash?.statements,
    crashes: crash?.crashes,
    mutants: mutants?.length,
    mutants_killed: mutants?.filter(({ killed }) => killed).length,
    mutants_survived: survived,
    broken: storm?.broken ?? [],
    not_covered: [
      ...beyondOneMachine,
      ...(crash?.missed ?? []).map((point) => `crash point ${point}: reached once, and never again`),
      ...Object.entries(storm?.missing ?? {}).map(([fault, reason]) => `${fault}: ${reason}`),
    ],
  };
};
export type Scoreboard = ReturnType<typeof scoreboardOf>;

/** Whether every promise held, every fault could be done, and no mutant survived. */
export const isPassed = ({ violations, broken, mutants_survived = [] }: Scoreboard): boolean =>
  Object.values(violations).every((n) => n === 0) && broken.length === 0 && mutants_survived.length === 0;

/** The table for people. */
export const printScoreboard = (board: Scoreboard): void => {
  const { faults_by_kind, first_violations, not_covered, broken, conditions, ...figures } = board;
  const lines = Object.entries({ ...conditions, ...figures }).filter(([, value]) => value !== undefined);
  for (const [name, value] of lines) {
    console.log(`${name.padEnd(22)} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }
  if (faults_by_kind) console.table(faults_by_kind);
  for (const reason of not_covered) console.log(`not covered: ${reason}`);
  for (const defect of broken) console.log(`BROKEN HARNESS: ${defect}`);
  for (const { check, what } of first_violations) console.log(`VIOLATION of ${check}: ${what}`);
};
