/** A server as the contract wants it, behind a forwarder that counts the connections. */
import type { Opened } from "./contract.ts";
import type { Forwarder } from "./forwarder.ts";

/** What there is behind the forwarder. */
export interface Behind extends AsyncDisposable, Pick<Opened, "secrets" | "next"> {
  /** A config that leads to this port of 127.0.0.1. */
  readonly configAt: (port: number) => object;
  /** Configs that the schema must refuse, made of a good one. */
  readonly badConfigs: (config: object) => Opened["badConfigs"];
}

/** Disposes of the forwarder first. @param start starts a forwarder to the server */
export const openForwarded = async (
  start: () => Promise<Forwarder>,
  { configAt, badConfigs, ...behind }: Behind,
): Promise<Opened> => {
  const forwarder = await start();
  const config = configAt(forwarder.port);
  return {
    ...behind,
    config,
    configAt,
    forward: start,
    badConfigs: badConfigs(config),
    openConnections: () => forwarder.open.size,
    [Symbol.asyncDispose]: async () => {
      await forwarder[Symbol.asyncDispose]();
      await behind[Symbol.asyncDispose]();
    },
  };
};
