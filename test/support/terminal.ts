/** For commands that run others in our terminal: they end first, then we. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism, constants } from "node:os";

/** Tests wait for rows and sockets more than they compute. */
const concurrency = availableParallelism() + 1;
/** For a single test: what takes longer hangs. */
const testTimeoutMs = 300_000;

export interface TerminalOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** A signal to us, which the program gets. */
  readonly interrupted?: Promise<NodeJS.Signals>;
}

/** The first signal that asks us to end; it does not end us by itself. */
export const firstSignal = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, resolve);
  });

/** Runs a program to its end. @returns its exit code */
export async function runInTerminal(
  file: string,
  args: readonly string[],
  { env = process.env, interrupted }: TerminalOptions = {},
): Promise<number> {
  const child = spawn(file, args, { stdio: "inherit", env });
  void interrupted?.then((signal) => child.kill(signal));
  const [code, signal] = await once(child, "exit");
  return code ?? 128 + constants.signals[signal as NodeJS.Signals];
}

/** Runs test files, with further flags of `node --test`. @returns its exit code */
export const runTests = (files: readonly string[], flags: readonly string[], options: TerminalOptions) => {
  const defaults = [`--test-concurrency=${concurrency}`, `--test-timeout=${testTimeoutMs}`, "--test-reporter=spec"];
  return runInTerminal(process.execPath, ["--test", ...defaults, ...flags, ...files], options);
};
