/**
 * Names to addresses, by c-ares and never by `dns.lookup`: that one waits in libuv's few threads, where two names whose
 * servers are silent stall every other tenant for ten seconds. `/etc/hosts` and search domains are therefore not read.
 */
import { promises as dns } from "node:dns";
import { unmapped } from "./addresses.ts";
import { DialError } from "./dial-error.ts";
import { codeOf } from "./errors.ts";

/** All addresses of a name, IPv4 first, mapped ones as IPv4. Throws a {@link DialError} with the code `dns`. */
export type Resolve = (name: string) => Promise<readonly string[]>;

const queryTimeoutMs = 2_000;
const queryTries = 2;
const resolveTimeoutMs = 5_000;

/** The servers said that there is nothing (RFC 8020, RFC 2308): the name's fault. */
const absent = new Set<string>([dns.NOTFOUND, dns.NODATA]);
/** No server said anything at all. */
const silent = new Set<string>([dns.TIMEOUT, dns.CONNREFUSED, dns.CANCELLED]);

const deadline = <T>(work: Promise<T>, ms: number): Promise<T> => {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(Object.assign(new Error("no answer from DNS"), { code: dns.TIMEOUT })), ms);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
};

/**
 * Creates a resolver. Lookups of one name that run at the same time are one query; nothing is kept after the answer.
 *
 * @param servers `address` or `address:port`; default those of the system (`/etc/resolv.conf`)
 */
export const createResolve = (servers?: readonly string[]): Resolve => {
  const resolver = new dns.Resolver({ timeout: queryTimeoutMs, maxTimeout: queryTimeoutMs, tries: queryTries });
  if (servers !== undefined) resolver.setServers([...servers]);
  const running = new Map<string, Promise<readonly string[]>>();
  let lastAnswerAt = Number.NEGATIVE_INFINITY;

  const query = async (work: Promise<string[]>): Promise<string[] | { readonly error: unknown }> => {
    try {
      const addresses = await deadline(work, resolveTimeoutMs);
      lastAnswerAt = performance.now();
      return addresses;
    } catch (error) {
      if (!silent.has(codeOf(error) ?? "")) lastAnswerAt = performance.now();
      return { error };
    }
  };

  const resolve = async (name: string): Promise<readonly string[]> => {
    const startedAt = performance.now();
    const answers = await Promise.all([query(resolver.resolve4(name)), query(resolver.resolve6(name))]);
    const addresses = new Set(answers.flatMap((answer) => (Array.isArray(answer) ? answer : [])).map(unmapped));
    if (addresses.size > 0) return [...addresses];
    const errors = answers.flatMap((answer) => ("error" in answer ? [answer.error] : []));
    const error = errors.find((each) => !absent.has(codeOf(each) ?? "")) ?? errors[0];
    const word = codeOf(error) ?? "";
    // A silent server of the name itself looks the same as our own DNS being down, but then others had answers meanwhile.
    const ours = silent.has(word) && lastAnswerAt < startedAt;
    throw new DialError("dns", `the host name could not be resolved: ${word || "no addresses"}`, {
      ours,
      cause: error,
    });
  };

  return (name) => {
    const known = running.get(name);
    if (known !== undefined) return known;
    const work = resolve(name).finally(() => running.delete(name));
    running.set(name, work);
    return work;
  };
};
