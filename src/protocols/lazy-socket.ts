/** A socket for SDKs that want one at once: it dials first, and then passes bytes on. */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { DialError } from "../dial-error.ts";
import { codeOf } from "../errors.ts";

const broken = (cause: Error): DialError => {
  const word = codeOf(cause);
  return new DialError("reset", `the connection broke${word === undefined ? "" : `: ${word}`}`, { cause });
};

/**
 * What is written waits until `dial` has answered; what `dial` throws destroys this socket, with the error as it is. A
 * connection that breaks later is a DialError `reset`.
 */
export class LazySocket extends Duplex {
  readonly #dial: () => Promise<Socket>;
  readonly #check: (chunk: Buffer) => void;
  #socket: Socket | undefined;

  /**
   * @param dial opens the connection, which belongs to this socket from then on; cut it short by a signal of its own
   * @param check sees what comes before anybody else; what it throws destroys this socket
   */
  constructor(dial: () => Promise<Socket>, check: (chunk: Buffer) => void) {
    super({ allowHalfOpen: false });
    this.#dial = dial;
    this.#check = check;
  }

  #receive(chunk: Buffer): void {
    try {
      this.#check(chunk);
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    if (!this.push(chunk)) this.#socket?.pause();
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#dial().then((socket) => {
      this.#socket = socket;
      socket.on("data", (chunk: Buffer) => this.#receive(chunk));
      socket.once("end", () => this.push(null));
      socket.once("error", (error) => this.destroy(broken(error)));
      // Who waits for an answer must hear that none will come, also when no end was told.
      socket.once("close", () => this.destroy(this.readableEnded ? undefined : broken(new Error("closed"))));
      callback();
      this.emit("connect");
    }, callback);
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket?.write(chunk, (error) => callback(error ? broken(error) : null));
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket?.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket?.destroy();
    callback(error);
  }

  // The dialler has set what these set, and a socket that is ended holds up nobody.

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
