/**
 * A TCP proxy between one worker and Postgres that knows the statements it carries, and kills the worker or cuts the
 * connection at one of them: before it reaches the server, or after the server has answered and before the answer arrives.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createFrameReader, createStatementReader } from "./frames.ts";

/** The name of the statement that fetches jobs. Only fetches that bring one are counted: the others come by the clock. */
export const fetchStatement = "fetch of a job";

/** What is to happen at a statement. */
export interface Strike {
  /** As {@link nameOf} says. */
  readonly statement: string;
  /** Counted from 1. */
  readonly nth: number;
  readonly moment: "before" | "after";
  readonly by: "kill" | "cut";
}

export interface TapOptions {
  /** Of the server. */
  readonly host: string;
  readonly port: number;
  /** Whether a fetch would bring a job now. */
  readonly isJobReady: () => Promise<boolean>;
}

export interface Tap extends AsyncDisposable {
  readonly port: number;
  /** Counts anew, and does these from now on, each once. */
  readonly arm: (strikes: readonly Strike[], kill: () => void) => void;
  /** How often each statement was sent since. */
  readonly counts: ReadonlyMap<string, number>;
  /** Strikes that are still to come. */
  readonly strikesLeft: () => number;
}

/** A short name: the function of ours that it calls, or its beginning. */
export const nameOf = (statement: string): string => {
  if (/_private_jobs.*skip locked/is.test(statement)) return fetchStatement;
  const [, name] = /\boutbox\.(\w+)\s*\(/.exec(statement) ?? [];
  return name ?? statement.trim().replaceAll(/\s+/g, " ").slice(0, 80);
};

/** Opens a tap before the server. */
export const openTap = async ({ host, port, isJobReady }: TapOptions): Promise<Tap> => {
  const open = new Set<Socket>();
  const counts = new Map<string, number>();
  let strikes: readonly Strike[] = [];
  let kill = (): void => {};

  const take = (statement: string, nth: number, moment: Strike["moment"]): Strike | undefined => {
    const found = strikes.find(
      (strike) => strike.statement === statement && strike.nth === nth && strike.moment === moment,
    );
    if (found !== undefined) strikes = strikes.filter((strike) => strike !== found);
    return found;
  };
  const countOf = (statement: string): number => counts.get(statement) ?? 0;
  const count = (statement: string): number => {
    counts.set(statement, countOf(statement) + 1);
    return countOf(statement);
  };
  const isStruckBefore = async (statement: string, nth: number): Promise<Strike | undefined> => {
    const isPlanned = strikes.some((each) => each.statement === statement && each.moment === "before");
    if (!isPlanned || (statement === fetchStatement && !(await isJobReady()))) return undefined;
    return take(statement, nth, "before");
  };

  const serve = async (client: Socket): Promise<void> => {
    const server = connect(port, host);
    const cut = (): void => {
      client.resetAndDestroy();
      server.destroy();
    };
    const strikeWith = ({ by }: Strike): void => (by === "kill" ? kill() : cut());
    for (const socket of [client, server]) {
      open.add(socket);
      socket.setNoDelay();
      socket
        .on("error", () => {})
        .on("close", () => {
          open.delete(socket);
          client.destroy();
          server.destroy();
        });
    }
    /** Looks at an answer before it is handed on; there is only one at a time. */
    let held: ((chunk: Buffer) => void) | undefined;
    const hold = (decide: (bringsRows: boolean) => Strike | undefined): void => {
      const read = createFrameReader("server");
      const chunks: Buffer[] = [];
      let bringsRows = false;
      held = (chunk) => {
        chunks.push(chunk);
        const types = read(chunk).map(({ type }) => type);
        bringsRows ||= types.includes("D");
        if (!types.includes("Z")) return;
        held = undefined;
        const strike = decide(bringsRows);
        if (strike !== undefined) strikeWith(strike);
        else client.write(Buffer.concat(chunks));
      };
    };
    server.on("data", (chunk) => (held === undefined ? client.write(chunk) : held(chunk)));

    const read = createFrameReader("client");
    const statementOf = createStatementReader();
    for await (const chunk of client) {
      for (const frame of read(chunk)) {
        const text = statementOf(frame);
        const statement = text === undefined ? undefined : nameOf(text);
        if (statement !== undefined) {
          const isFetch = statement === fetchStatement;
          const nth = isFetch ? countOf(statement) + 1 : count(statement);
          const before = await isStruckBefore(statement, nth);
          if (before !== undefined) return strikeWith(before);
          if (isFetch) hold((bringsRows) => (bringsRows ? take(statement, count(statement), "after") : undefined));
          else {
            const after = take(statement, nth, "after");
            if (after !== undefined) hold(() => after);
          }
        }
        server.write(frame.bytes);
      }
    }
  };

  const listener = createServer((client) => void serve(client).catch(() => {}));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    port: (listener.address() as AddressInfo).port,
    counts,
    arm: (given, onKill) => {
      counts.clear();
      strikes = given;
      kill = onKill;
    },
    strikesLeft: () => strikes.length,
    [Symbol.asyncDispose]: async () => {
      const closed = once(listener, "close");
      listener.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
};
