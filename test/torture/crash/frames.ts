/** Messages of Postgres' protocol (version 3.0): a letter, a length, and a body. */

export interface Frame {
  /** Empty for the first message of a client, which has no letter. */
  readonly type: string;
  readonly body: Buffer;
  /** All of it, as it came. */
  readonly bytes: Buffer;
}

/** Takes what comes in chunks, and returns the messages that are complete. */
export const createFrameReader = (from: "client" | "server"): ((chunk: Buffer) => Frame[]) => {
  let rest: Buffer = Buffer.alloc(0);
  let hasLetters = from === "server";
  return (chunk) => {
    const frames: Frame[] = [];
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const at = hasLetters ? 1 : 0;
      if (rest.length < at + 4) return frames;
      const end = at + rest.readUInt32BE(at);
      if (rest.length < end) return frames;
      const type = rest.toString("latin1", 0, at);
      frames.push({ type, body: rest.subarray(at + 4, end), bytes: rest.subarray(0, end) });
      rest = rest.subarray(end);
      hasLetters = true;
    }
  };
};

/** The zero-terminated text that begins there, and where the next one does. */
const textAt = (body: Buffer, at: number): { readonly text: string; readonly next: number } => {
  const end = body.indexOf(0, at);
  return { text: body.toString("utf8", at, end), next: end + 1 };
};

/** Knows of each message of one client which statement it has carried out, if any; simple and extended protocol. */
export const createStatementReader = (): ((frame: Frame) => string | undefined) => {
  const prepared = new Map<string, string>();
  return ({ type, body }) => {
    if (type === "Q") return textAt(body, 0).text;
    if (type !== "P" && type !== "B") return undefined;
    // Parse: name, statement. Bind: portal, name.
    const first = textAt(body, 0);
    const second = textAt(body, first.next);
    if (type === "B") return prepared.get(second.text);
    prepared.set(first.text, second.text);
    return undefined;
  };
};
