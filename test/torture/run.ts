/**
 * `npm run torture [-- --profile slice|ci|nightly] [--seed N] [--only NAME] [--mutants] [--out FILE]`: tries to make Postrider
 * break its promises. Without options a storm of faults and all crash points (profile ci, a random seed). `--only` takes the
 * name of a fault, `storm`, `crash_points`, or with --mutants that of a mutant. Exit code 0 when every promise held.
 */
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createChecker } from "./checks/checks.ts";
import { enumerateCrashPoints } from "./crash_points.ts";
import { faults } from "./faults/index.ts";
import { mutants } from "./mutants/index.ts";
import { runMutants } from "./mutants/run.ts";
import { openStage, openTemplate, type Template } from "./open.ts";
import { type Profile, profiles } from "./profiles.ts";
import { isPassed, printScoreboard, type Run, scoreboardOf } from "./scoreboard.ts";
import { openCluster } from "./stage/cluster.ts";
import { enterNamespace } from "./stage/namespace.ts";
import { packPackage } from "./stage/package.ts";
import type { Stage } from "./stage.ts";
import { playStorm } from "./storm.ts";

const parallelCrashes = 10;
const parallelDrills = 4;

interface Choice {
  readonly profileName: keyof typeof profiles;
  readonly seed: number;
  readonly only: string | undefined;
  readonly mutantsOnly: boolean;
}

const usage = (problem: string): never => {
  console.error(
    `${problem}\nnpm run torture -- [--profile slice|ci|nightly] [--seed N] [--only NAME] [--mutants] [--out FILE]`,
  );
  process.exit(2);
};

const readChoice = () => {
  const { values } = parseArgs({
    options: {
      profile: { type: "string", default: "ci" },
      seed: { type: "string", default: "random" },
      only: { type: "string" },
      mutants: { type: "boolean", default: false },
      out: { type: "string", default: join(import.meta.dirname, "scoreboard.json") },
    },
  });
  const { profile, only } = values;
  if (!(profile in profiles)) usage(`unknown profile: ${profile}`);
  const seed = values.seed === "random" ? randomInt(2 ** 32) : Number(values.seed);
  if (!Number.isInteger(seed) || seed < 0) usage(`--seed must be a whole number or random, not ${values.seed}`);
  const names = values.mutants
    ? mutants.map(({ name }) => name)
    : [...faults.map(({ name }) => name), "storm", "crash_points"];
  if (only !== undefined && !names.includes(only)) usage(`--only takes one of: ${names.join(", ")}`);
  const choice: Choice = { profileName: profile as keyof typeof profiles, seed, only, mutantsOnly: values.mutants };
  return { choice, out: values.out };
};

const startedAt = performance.now();
const log = (line: string): void => {
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${line}`);
};

/** What every part of the run stands on. */
interface Ground {
  readonly folder: string;
  readonly packageDir: string;
  readonly isNetworkPrivate: boolean;
  readonly template: Template;
}

const storm = async (ground: Ground, { seed, only }: Choice, profile: Profile, onCalm: () => void) => {
  await using stage: Stage = await openStage({ ...ground, name: "storm", seed, withBroker: true });
  const checker = createChecker(stage);
  const chosen =
    only === undefined || only === "storm"
      ? { faults, profile }
      : { faults: faults.filter(({ name }) => name === only), profile: { ...profile, faults: 0, events: 0 } };
  const report = await playStorm({ stage, checker, ...chosen, log, onCalm });
  return { report, figures: checker.figures() };
};

const crashPoints = (ground: Ground, { crashPoints: sample, everyHit = false }: Profile) =>
  enumerateCrashPoints({
    packageDir: ground.packageDir,
    serverUrl: ground.template.serverUrl,
    folder: ground.folder,
    parallel: parallelCrashes,
    everyHit,
    ...(sample === undefined ? {} : { sample }),
    log,
  });

const drillMutants = (ground: Ground, { only, seed }: Choice, sample: number | undefined) =>
  runMutants({
    ...ground,
    only,
    sample,
    parallel: parallelDrills,
    log,
    openSmallStage: (options) => openStage({ ...ground, seed, ...options }),
  });

/** Plays what was chosen, on one cluster in a folder of its own. */
const play = async (choice: Choice, folder: string, isNetworkPrivate: boolean): Promise<Run> => {
  const { profileName, seed, only, mutantsOnly } = choice;
  const profile: Profile = profiles[profileName];
  const packageDir = await packPackage(folder);
  await using cluster = await openCluster(join(folder, "cluster"), { isPrivate: isNetworkPrivate });
  const template = await openTemplate(cluster, packageDir);
  const ground = { folder, packageDir, isNetworkPrivate, template };
  log(
    `seed ${seed}, ${template.postgres}, address guard ${isNetworkPrivate ? "on" : "open for this machine (NETNS: no)"}`,
  );
  const wantsStorm = !mutantsOnly && only !== "crash_points";
  const wantsCrashes = !mutantsOnly && (only === undefined || only === "crash_points");
  const sample = mutantsOnly ? undefined : profile.mutants;
  const wantsMutants = mutantsOnly || (only === undefined && sample !== 0);
  const calm = Promise.withResolvers<void>();
  if (!wantsStorm) calm.resolve();
  const [stormed, crash] = await Promise.all([
    wantsStorm ? storm(ground, choice, profile, calm.resolve) : undefined,
    wantsCrashes ? calm.promise.then(() => crashPoints(ground, profile)) : undefined,
  ]);
  const mutantReports = wantsMutants ? await drillMutants(ground, choice, sample) : undefined;
  return {
    profile: profileName,
    seed,
    seconds: (performance.now() - startedAt) / 1000,
    isNetworkPrivate,
    postgres: template.postgres,
    storm: stormed?.report,
    figures: stormed?.figures,
    crash,
    mutants: mutantReports,
  };
};

const { choice, out } = readChoice();
const isNetworkPrivate = await enterNamespace();
const folder = await mkdtemp(join(tmpdir(), "postrider_torture_"));
const board = scoreboardOf(await play(choice, folder, isNetworkPrivate));
await writeFile(out, `${JSON.stringify(board, undefined, 2)}\n`);
printScoreboard(board);
if (isPassed(board)) {
  await rm(folder, { recursive: true, force: true });
  console.log(`all promises held: ${out}`);
} else console.log(`repeat with --seed ${choice.seed}; ledgers and logs: ${folder}`);
// A connection that a fault left hanging must not keep the run.
process.exit(isPassed(board) ? 0 : 1);
