/** The command line as people run it: `await using dev = startCommand(["dev"]);` */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Generous: what takes longer will not come. */
const waitTimeoutMs = 60_000;
const launcher = join(import.meta.dirname, "..", "..", "src", "launch.mjs");

/** How a program ended, and what it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs; it is killed when it is disposed of. */
export interface RunningCommand extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Waits until standard output has it, and returns the match. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The environment of this process without what would decide for the program. */
export const cleanEnvironment = (env: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(POSTRIDER_|DATABASE_URL|NODE_(?!EXTRA_CA_CERTS$))/.test(name)),
  ),
  ...env,
});

/** Starts any program. */
export function startProgram(file: string, args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const child = spawn(file, args, {
    env: cleanEnvironment(options.env),
    cwd: options.cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    written.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    written.stderr += text;
  });
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, ...written }));
  return {
    child,
    ended,
    until: (pattern) => untilWritten(child, ended, () => pattern.exec(written.stdout), written),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function untilWritten(
  child: ChildProcess,
  ended: Promise<Ended>,
  find: () => RegExpExecArray | null,
  written: { readonly stdout: string; readonly stderr: string },
): Promise<RegExpExecArray> {
  const signal = AbortSignal.timeout(waitTimeoutMs);
  for (let over = false; ; ) {
    const found = find();
    if (found !== null) return found;
    if (over || signal.aborted) throw new Error(`It never wrote that, but:\n${written.stdout}\n${written.stderr}`);
    const more = child.stdout === null ? ended : once(child.stdout, "data", { signal });
    over = await Promise.race([more.then(() => false), ended.then(() => true)]).catch(() => true);
  }
}

/** Starts `postrider` with these arguments. */
export const startCommand = (args: readonly string[], options?: CommandOptions): RunningCommand =>
  startProgram(process.execPath, [launcher, ...args], options);

/** Runs `postrider` to its end. */
export async function runCommand(args: readonly string[], options?: CommandOptions): Promise<Ended> {
  await using command = startCommand(args, options);
  return await command.ended;
}
