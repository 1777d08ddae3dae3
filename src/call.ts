/** Something asked of many deliveries: it ends when the last of them is through, with the first error if there was one. */
export class Call {
  readonly #settle = Promise.withResolvers<void>();
  readonly #release = Promise.withResolvers<void>();
  /** All deliveries are through. */
  readonly ended = this.#settle.promise;
  /** It has ended, or nobody waits for its end any more. */
  readonly released = this.#release.promise;
  /** Deliveries that nothing has been started for. */
  waiting: number;
  #left: number;
  #error: Error | undefined;

  constructor(deliveries: number) {
    this.#left = deliveries;
    this.waiting = deliveries;
    this.ended.then(this.#release.resolve, this.#release.reject);
    if (deliveries === 0) this.#settle.resolve();
  }

  /** Whoever waits for its end waits no longer; its deliveries go on. */
  letGo(): void {
    this.#release.resolve();
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
