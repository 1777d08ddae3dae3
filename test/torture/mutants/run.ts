/**
 * Drills the mutants, several at a time, each on a small stage of its own. Every drill is played once on the healthy engine,
 * where all checks must be green, and once for each mutant, where exactly the expected one must be red.
 */
import { join } from "node:path";
import pLimit from "p-limit";
import { brokerMissing } from "../../support/rabbitmq.ts";
import { ask } from "../../support/server.ts";
import { createChecker } from "../checks/checks.ts";
import { openTemplate, type StageOptions, type Template } from "../open.ts";
import { openCluster } from "../stage/cluster.ts";
import type { Stage, Violation } from "../stage.ts";
import { mutants } from "./index.ts";
import type { Drill, Mutant, MutantReport, Need } from "./mutant.ts";
import { checkEdits, seed } from "./seed.ts";
import { rest, Stuck } from "./story.ts";

export interface MutantsOptions {
  readonly packageDir: string;
  readonly folder: string;
  readonly isNetworkPrivate: boolean;
  readonly template: Template;
  /** The name of the only mutant to drill. */
  readonly only?: string | undefined;
  /** How many to drill, evenly spread; all of them when undefined. */
  readonly sample?: number | undefined;
  /** Drills at the same time: they mostly wait. */
  readonly parallel: number;
  readonly log: (line: string) => void;
  readonly openSmallStage: (options: Pick<StageOptions, "name"> & Partial<StageOptions>) => Promise<Stage>;
}

/** A drill on the healthy engine, or on a mutant. */
interface Play {
  readonly name: string;
  readonly drill: Drill;
  readonly mutant?: Mutant;
}

/** What a play showed. */
interface Shown {
  readonly red: MutantReport["red"];
  readonly violations: readonly Violation[];
  readonly seconds: number;
}

const restSecondsDefault = 10;

const choose = ({ only, sample = mutants.length }: MutantsOptions): readonly Mutant[] => {
  if (only !== undefined) return mutants.filter(({ name }) => name === only);
  const step = mutants.length / Math.min(sample, mutants.length);
  return mutants.filter((_, n) => Math.floor(n / step) !== Math.floor((n - 1) / step));
};

const isThere = (need: Need, { isNetworkPrivate }: MutantsOptions): boolean => {
  if (need === "private network") return isNetworkPrivate;
  return need !== "broker" || brokerMissing === undefined;
};

/** Those that take longest come first. */
const playsOf = (chosen: readonly Mutant[]): readonly Play[] => {
  const controls = [...new Set(chosen.map(({ drill }) => drill))].map((drill) => ({
    name: `control_${drill.name}`,
    drill,
  }));
  const plays = [
    ...controls,
    ...chosen.map((mutant) => ({ name: `mutant_${mutant.name}`, drill: mutant.drill, mutant })),
  ];
  const weightOf = ({ drill: { needs, restSeconds = restSecondsDefault } }: Play) =>
    restSeconds + 10 * (needs?.length ?? 0);
  return plays.toSorted((one, other) => weightOf(other) - weightOf(one));
};

const playOn = async (stage: Stage, { drill, mutant }: Play): Promise<readonly Violation[]> => {
  const checker = createChecker(stage);
  if (mutant !== undefined) await seed(mutant, stage);
  const edits = mutant?.edits;
  const startWorker: typeof stage.fleet.start = (options) => stage.fleet.start({ ...options, ...(edits && { edits }) });
  try {
    await drill.play({ stage, startWorker });
  } catch (error) {
    if (mutant === undefined || !(error instanceof Stuck)) throw error;
  }
  await rest(stage, drill.restSeconds ?? restSecondsDefault);
  return checker.atRest();
};

const play = async (each: Play, options: MutantsOptions): Promise<Shown> => {
  const { folder, packageDir, isNetworkPrivate, openSmallStage, log } = options;
  const { name, drill, mutant } = each;
  const needs = new Set(drill.needs);
  const startedAt = performance.now();
  if (mutant !== undefined) await checkEdits(mutant, packageDir);
  await using opened = new AsyncDisposableStack();
  let { template } = options;
  if (needs.has("own cluster")) {
    const cluster = await openCluster(join(folder, name, "cluster"), { isPrivate: isNetworkPrivate });
    template = await openTemplate(opened.use(cluster), packageDir);
  }
  opened.defer(() => ask(template.serverUrl, `drop database if exists ${name} with (force)`).then(() => undefined));
  const stage = opened.use(await openSmallStage({ name, template, withBroker: needs.has("broker") }));
  const violations = await playOn(stage, each);
  const red = [...new Set(violations.map(({ check }) => check))];
  const seconds = (performance.now() - startedAt) / 1_000;
  log(`${name}: ${red.length === 0 ? "all green" : `red: ${red.join(", ")}`} (${drill.name}, ${seconds.toFixed(1)} s)`);
  return { red, violations, seconds };
};

/** What was shown that was not meant to be. */
const tellSurprises = (each: Play, { violations }: Shown, log: (line: string) => void): void => {
  for (const { check, what } of violations) {
    if (check !== each.mutant?.expects) log(`  ${each.name}: ${check}: ${what}`);
  }
};

/** @returns a report for each mutant; one whose drill is not green on the healthy engine counts as survived */
export const runMutants = async (options: MutantsOptions): Promise<readonly MutantReport[]> => {
  const { parallel, log } = options;
  const { true: chosen = [], false: missing = [] } = Object.groupBy(
    choose(options),
    ({ drill }) => String((drill.needs ?? []).every((need) => isThere(need, options))) as "true" | "false",
  );
  for (const { name, drill } of missing) log(`mutant_${name} cannot be drilled here: needs ${drill.needs?.join(", ")}`);
  const plays = playsOf(chosen);
  const shown = new Map<string, Shown>();
  const limit = pLimit(parallel);
  const ended = await Promise.allSettled(
    plays.map((each) =>
      limit(async () => {
        const result = await play(each, options).catch((error: unknown) => {
          log(`${each.name} is broken`);
          throw error;
        });
        tellSurprises(each, result, log);
        shown.set(each.name, result);
      }),
    ),
  );
  const failed = ended.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return chosen.map(({ name, expects, drill }) => {
    const { red = [], seconds = 0 } = shown.get(`mutant_${name}`) ?? {};
    const isControlGreen = shown.get(`control_${drill.name}`)?.red.length === 0;
    const killed = isControlGreen && red.length === 1 && red[0] === expects;
    return { name, expected: expects, red, killed, seconds };
  });
};
