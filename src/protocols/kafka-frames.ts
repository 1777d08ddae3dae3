/** Looks at what a Kafka broker sends before kafkajs does, which trusts every length: some hang it, some throw. */
import { DialError } from "../dial-error.ts";

/** Metadata of all topics of a large cluster is the largest answer. */
const answerBytesMax = 16 * 1024 * 1024;
/** Each answer begins with a correlation id. */
const answerBytesMin = 4;

/**
 * A function that takes what a connection receives, chunk by chunk.
 * @throws DialError `protocol` when the next answer has a length that no answer has
 */
export const createFrameCheck = (): ((chunk: Buffer) => void) => {
  let left = 0;
  let head: Buffer = Buffer.alloc(0);
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(left, chunk.length - at);
      left -= skipped;
      at += skipped;
      const part = chunk.subarray(at, at + 4 - head.length);
      at += part.length;
      head = Buffer.concat([head, part]);
      if (head.length < 4) return;
      left = head.readInt32BE();
      head = head.subarray(4);
      if (left < answerBytesMin || left > answerBytesMax) {
        throw new DialError("protocol", "the answer is not that of a Kafka broker");
      }
    }
  };
};
