/** Something asked of many deliveries: it ends when the last of them is through, with the first error if there was one. */
export class Call {
  readonly #settle = Promise.withResolvers<void>();
  readonly ended = this.#settle.promise;
  #left: number;
  #error: Error | undefined;

  constructor(deliveries: number) {
    this.#left = deliveries;
    if (deliveries === 0) this.#settle.resolve();
  }

  /** One more is through, or has failed with an error. */
  through(error?: Error): void {
    this.#error ??= error;
    this.#left -= 1;
    if (this.#left > 0) return;
    if (this.#error === undefined) this.#settle.resolve();
    else this.#settle.reject(this.#error);
  }
}
