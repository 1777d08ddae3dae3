/**
 * What a Postgres server may say to us: the messages of a login and of an insert, each whole and well formed. The library
 * behind trusts its server: an error message without an end would keep it reading for ever.
 */
import { DialError } from "../dial-error.ts";

/** A byte for the type, four for the length, which counts itself. */
const headerBytes = 5;
/** An error of the receiver's own trigger may quote the payload. */
const frameBytesMax = 4 * 1024 * 1024;

const codes = (letters: string): ReadonlySet<number> => new Set(Buffer.from(letters));
/** Authentication, key data, ready, parse and bind complete, no data, command complete, error. */
const needed = codes("RKZ12nCE");
/** Parameter status, notice and notification: may come at any time, and nobody here reads them. */
const ignored = codes("SNA");
const [commandComplete, error] = [0x43, 0x45];

const unreadable = (): DialError => new DialError("protocol", "the answer is not the protocol of Postgres");

/** PostgreSQL protocol 3.0, ErrorResponse: fields of a type byte and a zero-ended string each, then a zero. */
const isCompleteError = (frame: Buffer): boolean => {
  let at = headerBytes;
  while (at < frame.length && frame[at] !== 0) {
    const end = frame.indexOf(0, at + 1);
    if (end === -1) return false;
    at = end + 1;
  }
  return at === frame.length - 1;
};

const lengthOf = (bytes: Buffer, offset: number): number => {
  const length = bytes.readUInt32BE(offset + 1);
  if (length < headerBytes - 1 || length > frameBytesMax) throw unreadable();
  return length + 1;
};

const isWanted = (frame: Buffer): boolean => {
  const [code = 0] = frame;
  if (ignored.has(code)) return false;
  if (!needed.has(code)) throw unreadable();
  if (code === error && !isCompleteError(frame)) throw unreadable();
  if (code === commandComplete && frame.indexOf(0, headerBytes) !== frame.length - 1) throw unreadable();
  return true;
};

/**
 * Cuts what a server sends into messages.
 * @param accept gets each message that is needed, whole
 * @returns a function that takes the bytes as they come, and throws a DialError `protocol` at what must not come
 */
export const createFrameReader = (accept: (frame: Buffer) => void): ((chunk: Buffer) => void) => {
  let chunks: Buffer[] = [];
  let size = 0;
  let wanted = headerBytes;
  return (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < wanted) return;
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks, size);
    let offset = 0;
    for (;;) {
      size = bytes.length - offset;
      wanted = size < headerBytes ? headerBytes : lengthOf(bytes, offset);
      if (size < wanted) break;
      const frame = bytes.subarray(offset, offset + wanted);
      if (isWanted(frame)) accept(frame);
      offset += wanted;
    }
    chunks = size === 0 ? [] : [bytes.subarray(offset)];
  };
};
