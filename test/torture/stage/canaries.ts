/**
 * Listeners at forbidden addresses, in the private network: `await using canaries = await openCanaries({ folder, ports })`.
 * Several stages may be open in one network, so each stage has ports of its own, those of its sinks.
 */
import { join } from "node:path";
import type { CanaryEntry } from "../stage.ts";
import type { CanaryOrder } from "./canary-process.ts";
import { startChild } from "./child.ts";
import { createLedgerReader } from "./ledger.ts";

/** One of each kind that the address guard must refuse. */
export const forbiddenAddresses = [
  "127.0.0.1",
  "169.254.169.254",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "168.63.129.16",
  "::1",
  "fd00:ec2::254",
] as const;

export interface Canaries extends AsyncDisposable {
  /** Connections since the last call. */
  readonly read: () => readonly CanaryEntry[];
  /** The ports that are listened on at every address. */
  readonly ports: readonly number[];
}

export interface CanariesOptions {
  readonly folder: string;
  /** Those of the sinks: whoever is led astray by a name or a redirect comes to the same port. */
  readonly ports: readonly number[];
}

export const openCanaries = async ({ folder, ports }: CanariesOptions): Promise<Canaries> => {
  const file = join(folder, "canaries.jsonl");
  const places = forbiddenAddresses.flatMap((address) => ports.map((port) => ({ address, port })));
  const child = startChild("canary-process.ts");
  try {
    await child.tell({ file, places } satisfies CanaryOrder);
  } catch (error) {
    await child.kill();
    throw error;
  }
  return { ports, read: createLedgerReader<CanaryEntry>(file).read, [Symbol.asyncDispose]: child.kill };
};
