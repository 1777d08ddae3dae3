/** Ports for servers that go away and come back. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below the range that the kernel gives to outgoing connections, and without a port that the address guard refuses. */
const portMin = 20_000;
const portMax = 26_999;
const triesMax = 100;
/** Some are not listened on at once, or at other addresses: another stage of this process must not get them. */
const given = new Set<number>();

/** A free port of 127.0.0.1 that no outgoing connection takes while its server is down; each is given once. */
export const lastingPort = async (): Promise<number> => {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = randomInt(portMin, portMax + 1);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`No port between ${portMin} and ${portMax} is free.`);
};

const isFree = async (port: number): Promise<boolean> => {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
};
