/** Workers that die, stop, are replaced, come for a while, or have too little of something. */
import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import type { Random } from "../random.ts";
import type { Fault, Stage, WorkerProcess } from "../stage.ts";
import { last, livingWorkers, startWorker, untilEnded, visit } from "./support.ts";

const execute = promisify(execFile);

/** Does something to workers that makes them end, and starts as many new ones. */
const replace = async (
  stage: Stage,
  workers: readonly WorkerProcess[],
  end: (worker: WorkerProcess) => void,
): Promise<void> => {
  workers.forEach(end);
  const results = await Promise.allSettled([...workers.map(untilEnded), ...workers.map(() => startWorker(stage))]);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
};

/** Stops a worker's process, which does not notice, and lets it go on. */
const stopFor =
  (msMin: number, msMax: number) =>
  async (stage: Stage, random: Random): Promise<void> => {
    const worker = random.pick(livingWorkers(stage));
    worker.signal("SIGSTOP");
    try {
      await last(random, msMin, msMax);
    } finally {
      worker.signal("SIGCONT");
    }
  };

const limitsOf = async (pid: number): Promise<string> => {
  const asked = ["--pid", String(pid), "--nofile", "--raw", "--noheadings", "--output", "SOFT,HARD"];
  return (await execute("prlimit", asked)).stdout.trim().replace(/\s+/, ":");
};
const limitFiles = async (pid: number, limits: string): Promise<void> => {
  await execute("prlimit", ["--pid", String(pid), `--nofile=${limits}`]);
};

/** What Node itself and the log of a worker have open. */
const filesMin = 24;
const filesMax = 40;

/** A worker has to connect to Postgres anew, and may not open as many files as it wants. */
const scarceFiles = async (stage: Stage, random: Random): Promise<void> => {
  const { pid } = random.pick(livingWorkers(stage));
  const limits = await limitsOf(pid);
  try {
    await limitFiles(pid, `${random.whole(filesMin, filesMax)}:`);
    stage.line.cut();
    await last(random, 1_000, 2_500);
  } finally {
    await limitFiles(pid, limits);
  }
};
const prlimitMissing = spawnSync("prlimit", ["--version"]).status === 0 ? undefined : "prlimit is not installed";

/** Crash points lie close together: a busy worker passes some hundred a second. */
const crashPointMax = 300;
const crashMsMax = 4_000;

/** A worker joins that kills itself somewhere on the way of a delivery. */
const crashSomewhere = async (stage: Stage, random: Random): Promise<void> => {
  const worker = await startWorker(stage, { crashAt: random.whole(1, crashPointMax) });
  await Promise.race([worker.ended, last(random, crashMsMax, crashMsMax)]);
  worker.signal("SIGKILL");
  await worker.ended;
};

export const workerFaults: readonly Fault[] = [
  {
    name: "worker_killed",
    lane: "fleet",
    weight: 2,
    strike: (stage, random) =>
      replace(stage, [random.pick(livingWorkers(stage))], (worker) => worker.signal("SIGKILL")),
  },
  {
    name: "workers_all_killed",
    lane: "fleet",
    weight: 0.3,
    strike: (stage) => replace(stage, livingWorkers(stage), (worker) => worker.signal("SIGKILL")),
  },
  {
    name: "worker_replaced",
    lane: "fleet",
    weight: 2,
    strike: (stage, random) =>
      replace(stage, [random.pick(livingWorkers(stage))], (worker) => worker.signal("SIGTERM")),
  },
  {
    name: "worker_hurried",
    lane: "fleet",
    strike: (stage, random) =>
      replace(stage, [random.pick(livingWorkers(stage))], (worker) => {
        worker.signal("SIGINT");
        setImmediate(() => worker.signal("SIGINT"));
      }),
  },
  {
    name: "workers_all_replaced",
    lane: "fleet",
    weight: 0.5,
    strike: (stage) => replace(stage, livingWorkers(stage), (worker) => worker.signal("SIGTERM")),
  },
  { name: "worker_frozen", lane: "fleet", strike: stopFor(1_000, 3_000) },
  { name: "worker_frozen_beyond_its_lease", lane: "fleet", weight: 0.2, strike: stopFor(11_500, 13_500) },
  { name: "worker_crashes_somewhere", lane: "fleet", weight: 2, strike: crashSomewhere },
  {
    name: "worker_with_few_places",
    lane: "fleet",
    strike: (stage, random) =>
      visit(stage, { env: { POSTRIDER_IN_FLIGHT: String(random.whole(1, 5)) } }, () => last(random, 1_000, 2_500)),
  },
  { name: "worker_short_of_files", lane: "fleet", missing: () => prlimitMissing, strike: scarceFiles },
];
