/** Carries what one end of a connection says to the other: late, slowly, or at once. */
import type { Socket } from "node:net";

/** How fast everything is carried at present; shared by all carriers of a line. */
export interface Pace {
  delayMs: number;
  bytesPerSecond: number;
}

export interface Carrier {
  readonly carry: (chunk: Buffer) => void;
  /** Ends the target after all that was carried before. */
  readonly end: () => void;
}

interface Piece {
  readonly chunk: Buffer;
  readonly dueAt: number;
}

const dripsPerSecond = 20;
/** The source waits while more than that is on its way. */
const waitingBytesMax = 1024 * 1024;

export const createCarrier = (source: Socket, target: Socket, pace: Pace): Carrier => {
  const waiting: Piece[] = [];
  let waitingBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let isEnding = false;

  const regulate = (): void => {
    if (waitingBytes > waitingBytesMax || target.writableNeedDrain) source.pause();
    else source.resume();
  };
  const write = (chunk: Buffer): void => {
    if (target.writable) target.write(chunk);
    if (target.writableNeedDrain) source.pause();
  };
  /** Takes at most so many bytes of the first piece. */
  const take = (bytesMax: number): Buffer => {
    const { chunk, dueAt } = waiting.shift() as Piece;
    const taken = chunk.subarray(0, bytesMax);
    if (taken.length < chunk.length) waiting.unshift({ chunk: chunk.subarray(bytesMax), dueAt });
    waitingBytes -= taken.length;
    return taken;
  };
  const proceed = (): void => {
    timer = undefined;
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const early = first.dueAt - performance.now();
      if (early > 0) {
        wait(early);
        return;
      }
      if (Number.isFinite(pace.bytesPerSecond)) {
        write(take(Math.max(1, Math.floor(pace.bytesPerSecond / dripsPerSecond))));
        wait(1000 / Math.min(dripsPerSecond, pace.bytesPerSecond));
        return;
      }
      write(take(Number.POSITIVE_INFINITY));
    }
    regulate();
    if (isEnding) target.end();
  };
  const wait = (ms: number): void => {
    regulate();
    if (!target.destroyed) timer = setTimeout(proceed, ms);
  };
  target.on("drain", regulate);
  target.once("close", () => clearTimeout(timer));

  return {
    carry: (chunk) => {
      const isFree = waiting.length === 0 && timer === undefined;
      if (isFree && pace.delayMs === 0 && !Number.isFinite(pace.bytesPerSecond)) return write(chunk);
      waiting.push({ chunk, dueAt: performance.now() + pace.delayMs });
      waitingBytes += chunk.length;
      if (timer === undefined) proceed();
    },
    end: () => {
      isEnding = true;
      if (timer === undefined) proceed();
    },
  };
};
