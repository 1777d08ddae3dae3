/** Workers of the packed package, each a process: `await using fleet = openFleet(...)`. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { cleanEnvironment } from "../../support/command.ts";
import type { Fleet, WorkerOptions, WorkerProcess } from "../stage.ts";
import { misfitCode, tamperingEnvironment, variables } from "./tampering.ts";

const joinMsMax = 60_000;
const stopMsMax = 20_000;
/** As a supervisor would: a worker whose database is away when it starts ends. */
const startAgainAfterMs = 250;
/** The end of a log, for the message of a failure. */
const logCharactersMax = 4_000;

/** Linux ends the workers when we are killed. */
const tied = ["setpriv", "--pdeathsig", "KILL"];
const tie = spawnSync("setpriv", [...tied.slice(1), "true"]).status === 0 ? tied : [];

export interface FleetOptions {
  readonly packageDir: string;
  /** For logs, and what Node compiled. */
  readonly folder: string;
  readonly databaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
}

const spawnWorker = (name: string, logFile: string, packageDir: string, env: NodeJS.ProcessEnv): WorkerProcess => {
  const log = openSync(logFile, "a");
  const [command = "", ...args] = [...tie, process.execPath, join(packageDir, "src", "launch.mjs"), "work"];
  const child: ChildProcess = spawn(command, args, { stdio: ["ignore", log, log], env });
  closeSync(log);
  const ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  return {
    name,
    pid: child.pid ?? 0,
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    signal: (signal) => void child.kill(signal),
    ended,
    logFile,
  };
};

const hasJoined = ({ logFile }: WorkerProcess): boolean => readFileSync(logFile, "utf8").includes('"worker joined"');

/** Waits for the first of these; one that does neither in time is killed. */
const untilJoined = async (worker: WorkerProcess): Promise<"joined" | "ended"> => {
  const { promise, resolve } = Promise.withResolvers<"joined" | "ended">();
  const look = (): void => {
    if (hasJoined(worker)) resolve("joined");
  };
  const watcher = watch(worker.logFile, look);
  const impatient = setTimeout(() => worker.signal("SIGKILL"), joinMsMax);
  void worker.ended.then(() => resolve(hasJoined(worker) ? "joined" : "ended"));
  look();
  try {
    return await promise;
  } finally {
    watcher.close();
    clearTimeout(impatient);
  }
};

const tailOf = ({ logFile }: WorkerProcess): string =>
  `${logFile} ends with:\n${readFileSync(logFile, "utf8").slice(-logCharactersMax)}`;

const stopWorker = async (worker: WorkerProcess): Promise<void> => {
  if (!worker.isAlive) return;
  worker.signal("SIGTERM");
  // One that was frozen hears it only now.
  worker.signal("SIGCONT");
  const impatient = setTimeout(() => worker.signal("SIGKILL"), stopMsMax);
  await worker.ended;
  clearTimeout(impatient);
};

/** Opens a fleet without workers. */
export const openFleet = ({ packageDir, folder, databaseUrl, env }: FleetOptions): Fleet & AsyncDisposable => {
  const workers: WorkerProcess[] = [];
  let started = 0;

  const launch = async (options: WorkerOptions): Promise<WorkerProcess> => {
    started += 1;
    const name = `worker-${started}`;
    await mkdir(folder, { recursive: true });
    const { edits = [], crashAt } = options;
    const isTampered = edits.length > 0 || crashAt !== undefined || options.env?.[variables.pointsFile] !== undefined;
    const environment = cleanEnvironment({
      DATABASE_URL: options.databaseUrl ?? databaseUrl,
      POSTRIDER_LOG_LEVEL: "debug",
      NODE_COMPILE_CACHE: join(folder, "compiled"),
      ...(isTampered ? await tamperingEnvironment({ packageDir, folder, name, edits, crashAt }) : {}),
      ...env,
      ...options.env,
    });
    const worker = spawnWorker(name, join(folder, `${name}.log`), packageDir, environment);
    workers.push(worker);
    return worker;
  };
  const start = async (options: WorkerOptions = {}): Promise<WorkerProcess> => {
    for (const since = performance.now(); ; await pause(startAgainAfterMs)) {
      const worker = await launch(options);
      if ((await untilJoined(worker)) === "joined" || options.crashAt !== undefined) return worker;
      const isHopeless = (await worker.ended).code === misfitCode || performance.now() - since > joinMsMax;
      if (isHopeless) throw new Error(`The worker did not start: ${tailOf(worker)}`);
    }
  };
  const stop = async (): Promise<void> => {
    await Promise.all(workers.map(stopWorker));
  };
  return {
    workers,
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      for (const worker of workers) worker.signal("SIGKILL");
      await Promise.all(workers.map(({ ended }) => ended));
    },
  };
};
