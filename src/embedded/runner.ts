/**
 * Postgres refuses to run as root. As root we give it a user namespace in which it looks like nobody: the files stay
 * root's, no account is made, and it works below directories that only root may enter. Where user namespaces are
 * forbidden (most containers) it really becomes nobody, and what it needs is copied to where nobody may read it.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, lstat, mkdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { PostriderError } from "../errors.ts";

const execute = promisify(execFile);

/** The uid and gid of nobody. */
const nobody = "65534";

/** The caller's environment decides nothing: an odd LANG or TZ, PGDATA or PGOPTIONS would reach into the server. */
export const serverEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  TZ: "UTC",
};

/** How to run a program of Postgres: the words before its path, where it lies, and where its data may lie. */
export interface Runner {
  readonly wrapper: readonly string[];
  readonly binDir: string;
  readonly home: string;
}

/** The command line that runs a program of Postgres. */
export function commandLine(runner: Runner, program: string, args: readonly string[]): [string, ...string[]] {
  const [first, ...rest] = [...runner.wrapper, join(runner.binDir, program), ...args];
  return [first ?? program, ...rest];
}

/** Finds a way to run Postgres as the present user; makes the home directory of its data. */
export async function prepareRunner(binDir: string, home: string): Promise<Runner> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (process.platform !== "linux") return { wrapper: [], binDir, home };
  const setpriv = (await succeeds("setpriv", "--pdeathsig", "INT", "true")) ? ["setpriv", "--pdeathsig", "INT"] : [];
  if (process.getuid?.() !== 0) return { wrapper: setpriv, binDir, home };
  const namespace = ["unshare", "--user", `--map-user=${nobody}`, `--map-group=${nobody}`, "--", ...setpriv];
  if (await succeeds(...namespace, join(binDir, "postgres"), "--version")) {
    await own(home, "0");
    return { wrapper: namespace, binDir, home };
  }
  if (setpriv.length > 0) return await becomeNobody(binDir, home);
  throw new PostriderError(
    "POSTRIDER_EMBEDDED_FAILED",
    "Postgres does not run as root, and neither unshare nor setpriv is here to leave root: " +
      "install util-linux, or start Postrider as a normal user.",
  );
}

async function becomeNobody(binDir: string, home: string): Promise<Runner> {
  const identity = [`--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", "--inh-caps=-all"];
  const wrapper = ["setpriv", ...identity, "--pdeathsig", "INT"];
  await own(home, nobody);
  const reachable = await succeeds(...wrapper, "test", "-w", home);
  const ownHome = reachable ? home : await homeOfNobody(home);
  const readable = await succeeds(...wrapper, join(binDir, "postgres"), "--version");
  return { wrapper, home: ownHome, binDir: readable ? binDir : await copyBinaries(binDir, ownHome) };
}

/** Data that is wanted below a directory such as /root lies in /var/tmp instead, under a name made from the path. */
async function homeOfNobody(home: string): Promise<string> {
  const path = join("/var/tmp", `postrider-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`);
  await mkdir(path, { recursive: true, mode: 0o700 });
  const found = await lstat(path);
  if (!found.isDirectory() || !["0", nobody].includes(String(found.uid))) {
    const text = `${path} belongs to somebody else: remove it, or choose another data directory.`;
    throw new PostriderError("POSTRIDER_EMBEDDED_FAILED", text);
  }
  await own(path, nobody);
  return path;
}

async function copyBinaries(binDir: string, home: string): Promise<string> {
  const copy = join(home, "programs");
  await cp(dirname(binDir), copy, { recursive: true, verbatimSymlinks: true });
  await own(copy, nobody);
  return join(copy, basename(binDir));
}

async function own(path: string, uid: string): Promise<void> {
  if (String((await stat(path)).uid) !== uid) await execute("chown", ["-R", `${uid}:${uid}`, path]);
}

async function succeeds(command = "", ...args: string[]): Promise<boolean> {
  return await execute(command, args, { env: serverEnvironment }).then(
    () => true,
    () => false,
  );
}
