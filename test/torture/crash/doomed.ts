/** A worker with fail points, in a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { cleanEnvironment } from "../../support/command.ts";
import type { CrashNews, CrashOrder } from "../stage/crash-runtime.ts";

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DoomedWorker {
  readonly isAlive: boolean;
  readonly ended: Promise<Exit>;
  /** Counts fail points anew from now on, and crashes at the one that is ordered. */
  readonly arm: (order: CrashOrder) => Promise<void>;
  /** It crashes no more from now on, if it lives. */
  readonly disarm: () => Promise<void>;
  readonly signal: (signal: NodeJS.Signals) => void;
}

export interface DoomedOptions {
  /** Of the package with fail points. */
  readonly packageDir: string;
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a worker and waits until it has joined. It ends with this process. */
export const startDoomed = async ({ packageDir, logFile, env }: DoomedOptions): Promise<DoomedWorker> => {
  const log = openSync(logFile, "a");
  const child = spawn(process.execPath, [join(packageDir, "src", "launch.mjs"), "work"], {
    env: cleanEnvironment(env),
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const ended = once(child, "exit").then(([code, signal]): Exit => ({ code, signal }));
  const waiting = new Map<CrashNews, () => void>();
  child.on("message", (news) => waiting.get(news as CrashNews)?.());
  const hear = async (wanted: CrashNews): Promise<void> => {
    const heard = new Promise<void>((resolve) => waiting.set(wanted, resolve));
    const end = await Promise.race([heard, ended]);
    if (end !== undefined) throw new Error(`a worker ended before it had ${wanted}: ${logFile}`);
  };
  const arm = async (order: CrashOrder): Promise<void> => {
    const taken = hear("taken the order");
    // One that is dead cannot be told; that it ended is heard.
    child.send(order, () => {});
    await taken;
  };
  await hear("joined");
  return {
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    ended,
    arm,
    disarm: () => arm({}).catch(() => {}),
    signal: (signal) => void child.kill(signal),
  };
};
