/**
 * A network in which every address is this machine's, so that public addresses have receivers, forbidden ones have
 * listeners, and the workers' address guard is on as in production; and mounts that nobody else sees.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const insideVariable = "TORTURE_NAMESPACE";

/**
 * IPv6 addresses other than ::1 can be listened on only with ip_nonlocal_bind. A kernel without IPv6 is fine too. What
 * processes that are killed leave in shared memory goes with us.
 */
const everythingIsLocal = [
  "ip link set lo up",
  "ip route add local default dev lo",
  "if [ -e /proc/net/if_inet6 ]; then ip -6 route add local default dev lo; fi",
  "if [ -e /proc/net/if_inet6 ]; then echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind; fi",
  "mount -t tmpfs none /dev/shm",
].join(" && ");

/** Who is not root becomes root of a user namespace, and of nothing else. */
const commandLine = (then: string, words: readonly string[]): [string, ...string[]] => [
  "unshare",
  ...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]),
  "--net",
  "--mount",
  "sh",
  "-c",
  `${everythingIsLocal} && ${then}`,
  "sh",
  ...words,
];

const isPossible = async (): Promise<boolean> => {
  if (process.platform !== "linux") return false;
  const [command, ...args] = commandLine("true", []);
  return await promisify(execFile)(command, args).then(
    () => true,
    () => false,
  );
};

/**
 * Goes on in such a network: the present program is started anew there, in this process, so that signals, output and
 * exit code are its own. Returns true when it is there already, false where the kernel does not allow it.
 */
export const enterNamespace = async (): Promise<never | boolean> => {
  if (process.env[insideVariable] === "yes") return true;
  if (!(await isPossible()) || process.execve === undefined) return false;
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return process.execve("/usr/bin/env", ["env", ...commandLine('exec "$@"', program)], {
    ...process.env,
    [insideVariable]: "yes",
  });
};
