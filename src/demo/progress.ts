/** How far the demo is: one line that changes at a terminal, a line now and then elsewhere. */
import { say } from "../command.ts";

const plainEveryMs = 1_000;

export interface Progress {
  readonly show: (text: string) => void;
  /** Writes the last state for good. */
  readonly end: () => void;
}

/** Starts a progress line on standard output. */
export const createProgress = ({ isTTY } = process.stdout): Progress => {
  let last = "";
  let saidAt = 0;
  return {
    show: (text) => {
      if (text === last) return;
      last = text;
      if (isTTY) process.stdout.write(`\r\u001b[K  ${text}`);
      else if (Date.now() - saidAt >= plainEveryMs) {
        say(`  ${text}`);
        saidAt = Date.now();
      }
    },
    end: () => say(isTTY ? "" : `  ${last}`),
  };
};
