/** What lies in the home directory of an embedded server: `pgdata`, the superuser's `password`, the last `port`. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { PostriderError } from "../errors.ts";
import { commandLine, type Runner, serverEnvironment } from "./runner.ts";

const execute = promisify(execFile);

/** A data directory of Postgres, and what opens it. */
export interface Cluster {
  readonly data: string;
  readonly password: string;
}

/** The cluster in the runner's home; made at the first call, and whole or not there at all. */
export async function openCluster(runner: Runner, durable: boolean): Promise<Cluster> {
  const data = join(runner.home, "pgdata");
  const passwordFile = join(runner.home, "password");
  const made = await stat(join(data, "PG_VERSION")).catch(() => undefined);
  if (made === undefined) await createCluster(runner, data, passwordFile, durable);
  return { data, password: await readFile(passwordFile, "utf8") };
}

async function createCluster(runner: Runner, data: string, passwordFile: string, durable: boolean): Promise<void> {
  const unfinished = `${data}.new`;
  await rm(unfinished, { recursive: true, force: true });
  await writePassword(passwordFile, runner.home);
  const args = ["-D", unfinished, "-U", "postgres", "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
  args.push("--encoding=UTF8", "--no-instructions", ...(await localeOf(runner)), ...(durable ? [] : ["--no-sync"]));
  await run(runner, "initdb", args);
  await rename(unfinished, data);
}

/** A password, because a server that trusted every local user would give each of them what root may do. */
async function writePassword(file: string, home: string): Promise<void> {
  await writeFile(file, randomBytes(12).toString("hex"), { mode: 0o600 });
  const { uid, gid } = await stat(home);
  if (process.getuid?.() === 0) await chown(file, uid, gid);
}

/** Never the caller's locale: an invalid one stops initdb, and none at all makes an SQL_ASCII database. */
async function localeOf(runner: Runner): Promise<string[]> {
  const version = await run(runner, "postgres", ["--version"]);
  const major = Number(/\d+/.exec(version)?.[0]);
  if (major < 17) return ["--locale=C.UTF-8"];
  return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"];
}

async function run(runner: Runner, program: string, args: readonly string[]): Promise<string> {
  const [command, ...rest] = commandLine(runner, program, args);
  try {
    return (await execute(command, rest, { env: serverEnvironment, cwd: runner.home })).stdout;
  } catch (error) {
    const output = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
    const text = `${program} failed in ${runner.home}: ${output || String(error)}`;
    throw new PostriderError("POSTRIDER_EMBEDDED_FAILED", text, { cause: error });
  }
}

/**
 * The pid of the server that holds the data directory. The lock file of a server that was killed may name a pid that
 * another program has got since, which Postgres would take for a server: such a file is removed.
 */
export async function holderOf(data: string): Promise<number | undefined> {
  const lockFile = join(data, "postmaster.pid");
  const pid = Number((await readFile(lockFile, "utf8").catch(() => "")).split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  if ((await commandOf(pid)).includes(data)) return pid;
  await rm(lockFile, { force: true });
  return undefined;
}

async function commandOf(pid: number): Promise<string> {
  if (process.platform === "linux") return await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return await execute("ps", ["-p", String(pid), "-o", "command="]).then(
    ({ stdout }) => stdout,
    () => "",
  );
}
