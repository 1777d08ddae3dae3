/** The receiver of all crashes: each has answers of its own, and its own list of what arrived. */
import { type Reply, startReceiver } from "../../support/receiver.ts";
import type { Arrival } from "./explain.ts";

/** What the receiver does for one crash. */
export interface Reception {
  readonly arrivals: readonly Arrival[];
  /** Goes into the payloads of its events, beside their number `n`. */
  readonly trial: number;
}

/** Decides the answer to the nth arrival, counted from 1. */
export type Answer = (nth: number) => Reply | Promise<Reply>;

export interface CrashReceiver extends AsyncDisposable {
  readonly port: number;
  readonly receive: (answer: Answer) => Reception;
}

const statusOf = (reply: Reply): number | undefined => (typeof reply === "number" ? reply : undefined);

export const openCrashReceiver = async (): Promise<CrashReceiver> => {
  const trials: { readonly arrivals: Arrival[]; readonly answer: Answer }[] = [];
  const receiver = await startReceiver({
    respond: async ({ rawBody }) => {
      const { trial, n } = JSON.parse(rawBody.toString());
      const { arrivals, answer } = trials[trial] as (typeof trials)[number];
      const index = arrivals.push({ n, status: undefined }) - 1;
      const reply = await answer(index + 1);
      arrivals[index] = { n, status: statusOf(reply) };
      return reply;
    },
  });
  return {
    port: receiver.port,
    receive: (answer) => {
      const arrivals: Arrival[] = [];
      return { arrivals, trial: trials.push({ arrivals, answer }) - 1 };
    },
    [Symbol.asyncDispose]: () => receiver.close(),
  };
};
