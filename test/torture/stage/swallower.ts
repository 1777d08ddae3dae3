/**
 * Loses an answer of Postgres on its way: all that the server says is held back until the answer is complete. An answer
 * after which the server is idle was to a statement or commit that is done now, and is lost. All others are handed on,
 * because the client must speak before anything can be done.
 */

export interface Swallower {
  readonly start: () => void;
  readonly isOn: () => boolean;
  readonly take: (chunk: Buffer) => void;
}

export interface SwallowerOptions {
  readonly forward: (chunk: Buffer) => void;
  /** An answer was lost. */
  readonly onAnswer: () => void;
}

/** ReadyForQuery without its last byte: type Z, length 5. What follows says whether a transaction is open. */
const readyForQuery = Buffer.from("Z\0\0\0\x05");
const idle = "I".charCodeAt(0);
/** CopyInResponse and the requests of a login: the server waits for data. */
const awaitingTypes = new Set(["G".charCodeAt(0), "R".charCodeAt(0)]);

export const createSwallower = ({ forward, onAnswer }: SwallowerOptions): Swallower => {
  let isOn = false;
  let held = Buffer.alloc(0);
  const handOn = (): void => {
    forward(held);
    held = Buffer.alloc(0);
  };
  const take = (chunk: Buffer): void => {
    held = Buffer.concat([held, chunk]);
    const end = held.length - 1;
    if (held.subarray(end - readyForQuery.length, end).equals(readyForQuery)) {
      if (held[end] === idle) onAnswer();
      else handOn();
    } else if (awaitingTypes.has(held[0] ?? 0)) handOn();
  };
  return {
    start: () => {
      isOn = true;
    },
    isOn: () => isOn,
    take,
  };
};
