/** Listens where nobody may ever come, and writes down whoever does. */
import { once } from "node:events";
import { createServer, isIPv6 } from "node:net";
import { codeOf } from "../../../src/errors.ts";
import type { CanaryEntry } from "../stage.ts";
import { appendEntry } from "./ledger.ts";
import { carryOut } from "./orders.ts";

export interface CanaryOrder {
  readonly file: string;
  readonly places: readonly { readonly address: string; readonly port: number }[];
}

const listenAt = async (file: string, address: string, port: number): Promise<void> => {
  const server = createServer((socket) => {
    appendEntry(file, { at: Date.now(), address, port } satisfies CanaryEntry);
    socket.on("error", () => {}).resetAndDestroy();
  });
  server.listen(port, address);
  await once(server, "listening").catch((error: unknown) => {
    // A kernel without IPv6 has nothing to protect there.
    if (!isIPv6(address) || codeOf(error) !== "EAFNOSUPPORT") throw error;
  });
};

carryOut(async ({ file, places }: CanaryOrder) => {
  await Promise.all(places.map(({ address, port }) => listenAt(file, address, port)));
});
