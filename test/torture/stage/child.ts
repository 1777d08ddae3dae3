/** A process of the stage that takes orders: the side of the one who gives them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { cleanEnvironment } from "../../support/command.ts";

/** An order on its way to the process. */
export interface Order {
  readonly id: number;
  readonly order: unknown;
}

/** What the process says when an order is carried out, or could not be. */
export interface Report {
  readonly id: number;
  readonly problem?: string;
}

export interface Child extends AsyncDisposable {
  /** Resolves when the order is carried out; rejects when it could not be, or the process has ended. */
  readonly tell: (order: unknown) => Promise<void>;
  /** Ends it with SIGKILL; resolves when it has ended. */
  readonly kill: () => Promise<void>;
}

/** Starts a program of this folder; `carryOut` of `orders.ts` is its side. */
export const startChild = (program: string): Child => {
  const child: ChildProcess = fork(join(import.meta.dirname, program), {
    execArgv: [],
    env: cleanEnvironment(),
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const open = new Map<number, PromiseWithResolvers<void>>();
  const ended = once(child, "exit");
  let orders = 0;
  child.on("message", ({ id, problem }: Report) => {
    if (problem === undefined) open.get(id)?.resolve();
    else open.get(id)?.reject(new Error(`${program}: ${problem}`));
    open.delete(id);
  });
  const fail = (): void => {
    for (const { reject } of open.values()) reject(new Error(`${program} has ended`));
    open.clear();
  };
  child.on("exit", fail).on("error", fail);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  return {
    tell: (order) => {
      const answer = Promise.withResolvers<void>();
      const id = orders++;
      open.set(id, answer);
      if (child.connected) child.send({ id, order } satisfies Order, (error) => error === null || fail());
      else fail();
      return answer.promise;
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
};
