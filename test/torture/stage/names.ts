/** The name server of the stage: `await using names = await openNames()`. */
import { type DnsZone, startDns } from "../../support/dns.ts";
import type { NameAnswer, Names } from "../stage.ts";

/** Starts it on 127.0.0.1; names that were never set do not exist. */
export const openNames = async (): Promise<Names & AsyncDisposable> => {
  const answers = new Map<string, NameAnswer>();
  const zone: DnsZone = {};
  const server = await startDns(zone);
  return {
    address: server.address,
    set: (name, answer) => {
      answers.set(name.toLowerCase(), answer);
      zone[name.toLowerCase()] = answer;
    },
    get: (name) => answers.get(name.toLowerCase()) ?? "nxdomain",
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
};
