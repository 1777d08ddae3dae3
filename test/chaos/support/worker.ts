/** Workers as processes: `await using worker = await startWorkerProcess(db.url);` */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Arrivals } from "../../support/arrivals.ts";
import type { LogLine } from "../../support/worker.ts";

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Since the signal that was sent last, or else since the start. */
  readonly afterMs: number;
}

export interface WorkerProcess extends AsyncDisposable {
  readonly pid: number;
  readonly log: Arrivals<LogLine>;
  readonly exit: Promise<Exit>;
  /** The ids under which it has joined so far, the present one last. */
  readonly workerIds: readonly string[];
  /** Whether it runs. */
  readonly isAlive: boolean;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** The most memory that it ever had resident, in MiB; undefined where there is no /proc. */
  readonly peakMiB: () => number | undefined;
}

const scripts = { plain: "worker-process.ts", fragile: "fragile-process.ts" } as const;
/** Where workers write down what they log, for people who look into a failure. */
const logFolder = process.env.POSTRIDER_TEST_LOGS;
/** The end of what a worker wrote to stderr, for the message of a test that fails. */
const stderrCharactersMax = 4_000;

/** Starts a worker process; it may not have joined yet. A fragile one has the destination type of `fragile.ts`. */
export const spawnWorker = (
  databaseUrl: string,
  settings: Readonly<Record<string, string>> = {},
  kind: keyof typeof scripts = "plain",
): WorkerProcess => {
  let since = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, scripts[kind])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      POSTRIDER_ALLOW_HTTP: "true",
      POSTRIDER_ALLOW_NETWORKS: "127.0.0.0/8",
      ...settings,
    },
  });
  const log = new Arrivals<LogLine>();
  if (logFolder !== undefined) {
    const file = createWriteStream(join(logFolder, `worker-${child.pid}.log`));
    for (const output of [child.stdout, child.stderr]) output.pipe(file, { end: false });
  }
  createInterface({ input: child.stdout }).on("line", (line) => log.add(readLine(line)));
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-stderrCharactersMax);
  });
  // "close" comes after the last line of output.
  const exit = once(child, "close").then(([code, signal]): Exit => {
    log.add({ level: 60, msg: "the process ended", code, signal, stderr });
    return { code, signal, afterMs: Math.round(performance.now() - since) };
  });
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  const signal = (name: NodeJS.Signals) => {
    since = performance.now();
    child.kill(name);
  };
  return {
    pid: child.pid ?? 0,
    log,
    exit,
    get workerIds() {
      return log.items.filter(hasJoined).map(({ workerId }) => String(workerId));
    },
    get isAlive() {
      return isAlive();
    },
    signal,
    peakMiB: () => peakMiBOf(child.pid),
    async [Symbol.asyncDispose]() {
      if (isAlive()) signal("SIGKILL");
      await exit;
      log.close();
    },
  };
};

/** Starts a worker process and waits until it takes jobs. */
export const startWorkerProcess = async (
  databaseUrl: string,
  settings?: Readonly<Record<string, string>>,
): Promise<WorkerProcess> => {
  const worker = spawnWorker(databaseUrl, settings);
  const line = await worker.log.until((each) => hasJoined(each) || each.msg === "the process ended");
  if (hasJoined(line)) return worker;
  throw new Error(`The worker did not start: ${JSON.stringify(worker.log.items.slice(-5), undefined, 1)}`);
};

const hasJoined = ({ msg }: LogLine): boolean => msg === "worker joined";

/** What is no JSON was written past the log, which is worth seeing too. */
const readLine = (line: string): LogLine => {
  try {
    return JSON.parse(line);
  } catch {
    return { level: 30, msg: line };
  }
};

const peakMiBOf = (pid: number | undefined): number | undefined => {
  try {
    const kiB = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kiB === undefined ? undefined : Math.round(Number(kiB) / 1024);
  } catch {
    return undefined;
  }
};
