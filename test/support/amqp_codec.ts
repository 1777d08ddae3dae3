/**
 * The bytes of AMQP 0-9-1 that a scripted broker needs: frames and method arguments
 * (https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 4.2 and 1.4 ff; `basic.nack`, `confirm.select` and
 * `connection.blocked` are RabbitMQ's extensions).
 */

/** Methods by class and method number: `class * 65536 + method`. */
export const methods = {
  connectionStart: 0x0a000a,
  connectionStartOk: 0x0a000b,
  connectionTune: 0x0a001e,
  connectionTuneOk: 0x0a001f,
  connectionOpen: 0x0a0028,
  connectionOpenOk: 0x0a0029,
  connectionClose: 0x0a0032,
  connectionCloseOk: 0x0a0033,
  connectionBlocked: 0x0a003c,
  connectionUnblocked: 0x0a003d,
  channelOpen: 0x14000a,
  channelOpenOk: 0x14000b,
  channelClose: 0x140028,
  channelCloseOk: 0x140029,
  basicPublish: 0x3c0028,
  basicReturn: 0x3c0032,
  basicAck: 0x3c0050,
  basicNack: 0x3c0078,
  confirmSelect: 0x55000a,
  confirmSelectOk: 0x55000b,
} as const;

export const frameTypes = { method: 1, header: 2, body: 3, heartbeat: 8 } as const;

export const protocolHeader = Buffer.from("AMQP\0\0\x09\x01", "latin1");

/** Type, channel, size, and the end octet. */
const frameOverhead = 8;
const frameEnd = 0xce;

/** A field table: what headers and client properties are made of. */
export interface FieldTable {
  readonly [name: string]: string | boolean | FieldTable;
}

/** An unsigned number of 1 to 6 octets, or of 8. */
export const uint = (value: number, octets: number): Buffer => {
  const bytes = Buffer.alloc(octets);
  if (octets === 8) bytes.writeBigUInt64BE(BigInt(value));
  else bytes.writeUIntBE(value, 0, octets);
  return bytes;
};

/** @throws RangeError when it is longer than 255 octets in UTF-8 */
export const shortString = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint(bytes.length, 1), bytes]);
};

export const longString = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text as string);
  return Buffer.concat([uint(bytes.length, 4), bytes]);
};

const field = (value: FieldTable[string]): Buffer => {
  if (typeof value === "string") return Buffer.concat([Buffer.from("S"), longString(value)]);
  if (typeof value === "boolean") return Buffer.concat([Buffer.from("t"), uint(Number(value), 1)]);
  return Buffer.concat([Buffer.from("F"), table(value)]);
};

export const table = (fields: FieldTable): Buffer =>
  longString(Buffer.concat(Object.entries(fields).flatMap(([name, value]) => [shortString(name), field(value)])));

/** One frame of any type. */
export const frame = (type: number, channel: number, payload: Buffer): Buffer =>
  Buffer.concat([uint(type, 1), uint(channel, 2), uint(payload.length, 4), payload, uint(frameEnd, 1)]);

/** A method frame; the arguments are encoded already. */
export const methodFrame = (channel: number, method: number, ...args: readonly Buffer[]): Buffer =>
  frame(frameTypes.method, channel, Buffer.concat([uint(method, 4), ...args]));

/** `close` of a connection or a channel: code, text, and no method that is to blame. */
export const closeArguments = (code: number, text: string): Buffer =>
  Buffer.concat([uint(code, 2), shortString(text), uint(0, 4)]);

/** A frame as it came. */
export interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
}

/**
 * Cuts a stream of bytes into frames.
 * @returns takes the next bytes, gives the frames that are complete; throws when it is not AMQP
 */
export const createFrameReader = (frameBytesMax: number): ((chunk: Buffer) => readonly Frame[]) => {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= frameOverhead) {
      const size = bytes.readUInt32BE(at + 3);
      // A server that speaks another version sends "AMQP" and hangs up: a frame of type 65.
      if ((bytes[at] ?? 0) > frameTypes.heartbeat) throw new Error("not a frame");
      if (size > frameBytesMax - frameOverhead) throw new Error("a frame larger than agreed");
      const end = at + 7 + size;
      if (end >= bytes.length) break;
      if (bytes[end] !== frameEnd) throw new Error("a frame without its end");
      frames.push({
        type: bytes.readUInt8(at),
        channel: bytes.readUInt16BE(at + 1),
        payload: bytes.subarray(at + 7, end),
      });
      at = end + 1;
    }
    rest = bytes.subarray(at);
    return frames;
  };
};
