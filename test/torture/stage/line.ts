/** A TCP proxy that can be disturbed: `await using line = await openLine(cluster.port)`. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Line } from "../stage.ts";
import { createCarrier, type Pace } from "./carrier.ts";
import { lastingPort } from "./ports.ts";
import { createSwallower } from "./swallower.ts";

/** Both ends of a connection through the line. */
interface Connection {
  /** Takes all that comes and brings nothing more. */
  readonly freeze: () => void;
  /** Brings no answer any more, and resets after the next that is complete. */
  readonly swallow: () => void;
  readonly reset: () => void;
  readonly isDisturbed: () => boolean;
}

const join = (near: Socket, far: Socket, pace: Pace, onGone: () => void): Connection => {
  let isFrozen = false;
  let isReset = false;
  const reset = (): void => {
    isReset = true;
    for (const socket of [near, far]) socket.resetAndDestroy();
  };
  const there = createCarrier(near, far, pace);
  const back = createCarrier(far, near, pace);
  const swallower = createSwallower({ forward: back.carry, onAnswer: reset });
  near.on("data", (chunk) => {
    if (!isFrozen) there.carry(chunk);
  });
  far.on("data", (chunk) => {
    if (isFrozen) return;
    if (swallower.isOn()) swallower.take(chunk);
    else back.carry(chunk);
  });
  near.on("end", () => {
    if (!isFrozen) there.end();
  });
  far.on("end", () => {
    if (!isFrozen) back.end();
  });
  for (const socket of [near, far]) {
    socket.setNoDelay();
    socket.on("error", () => {
      if (!isFrozen) reset();
    });
    socket.on("close", () => {
      if (near.destroyed && far.destroyed) onGone();
    });
  }
  return {
    freeze: () => {
      isFrozen = true;
      for (const socket of [near, far]) socket.resume();
    },
    swallow: swallower.start,
    reset,
    isDisturbed: () => !isReset && (isFrozen || swallower.isOn()),
  };
};

/** Opens a line to a port of this machine. */
export const openLine = async (port: number, host = "127.0.0.1"): Promise<Line & AsyncDisposable> => {
  const open = new Set<Connection>();
  const pace: Pace = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port, allowHalfOpen: true });
    const connection = join(near, far, pace, () => open.delete(connection));
    open.add(connection);
  });
  const ownPort = await lastingPort();
  const listen = async (): Promise<void> => {
    if (server.listening) return;
    server.listen(ownPort, "127.0.0.1");
    await once(server, "listening");
  };
  const cut = (): void => {
    for (const connection of open) connection.reset();
  };
  const refuse = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    cut();
    await closed;
  };
  await listen();
  return {
    port: ownPort,
    delay: (ms) => {
      pace.delayMs = ms;
    },
    drip: (bytesPerSecond) => {
      pace.bytesPerSecond = bytesPerSecond;
    },
    freeze: () => {
      for (const connection of open) connection.freeze();
    },
    swallow: () => {
      for (const connection of open) connection.swallow();
    },
    cut,
    refuse,
    heal: async () => {
      Object.assign(pace, { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY });
      for (const connection of open) if (connection.isDisturbed()) connection.reset();
      await listen();
    },
    [Symbol.asyncDispose]: refuse,
  };
};
