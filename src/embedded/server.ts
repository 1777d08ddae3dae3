/** One run of the server program: from its start to its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { commandLine, type Runner, serverEnvironment } from "./runner.ts";

/** Crash recovery of a large cluster may take its time. */
const startTimeoutMs = 120_000;
const stopTimeoutMs = 30_000;
/** The last lines of the server's log, for the error message. */
const logLinesMax = 30;

/** How a server is stopped: `fast` at once and clean, `immediate` as in a crash, `kill` as in a power cut. */
export type StopMode = "fast" | "immediate" | "kill";

const stopSignals = { fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;

export interface ServerOptions {
  readonly runner: Runner;
  readonly data: string;
  readonly port: number;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

/** A server that runs, or the lines that tell why it does not. */
export type ServerStart =
  | { readonly kind: "ready"; readonly server: ChildProcess }
  | { readonly kind: "failed"; readonly log: string };

/** Starts the server and waits until it takes connections. It has a process group of its own: Ctrl-C comes to us. */
export async function startServer({ runner, data, port, settings, log }: ServerOptions): Promise<ServerStart> {
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const [command, ...args] = commandLine(runner, "postgres", ["-D", data, "-p", String(port), ...flags]);
  const server = spawn(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: serverEnvironment,
    cwd: runner.home,
    detached: true,
  });
  const lines: string[] = [];
  const ready = new Promise<"ready">((resolve) => {
    createInterface({ input: server.stderr }).on("line", (line) => {
      lines.push(line);
      if (lines.length > logLinesMax) lines.shift();
      log(line);
      if (line.includes("database system is ready to accept connections")) resolve("ready");
    });
  });
  if ((await Promise.race([ready, ended(server)])) === "ready") {
    stopWithUs(server);
    return { kind: "ready", server };
  }
  await stopServer(server, "kill");
  return { kind: "failed", log: lines.join("\n") };
}

async function ended(server: ChildProcess): Promise<string> {
  const signal = AbortSignal.timeout(startTimeoutMs);
  return await once(server, "close", { signal }).then(
    () => "ended",
    (error: unknown) => String(error),
  );
}

/** Linux ends the server when we are killed; elsewhere at least an orderly end of ours takes it along. */
function stopWithUs(server: ChildProcess): void {
  const stop = () => server.kill("SIGINT");
  process.once("exit", stop);
  server.once("exit", () => process.removeListener("exit", stop));
}

/** Stops the server and waits until it is gone; one that does not end in time is stopped as in a crash. */
export async function stopServer(server: ChildProcess, mode: StopMode): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const exit = once(server, "exit");
  const backends = mode === "kill" ? childrenOf(server.pid) : [];
  server.kill(stopSignals[mode]);
  for (const pid of backends) killIfAlive(pid);
  const impatient = setTimeout(() => server.kill("SIGQUIT"), stopTimeoutMs);
  await exit;
  clearTimeout(impatient);
}

/** The backends would outlive a killed server until they notice; a power cut leaves none. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended between the two kills.
  }
}
