/** Generous: what takes longer will not come. */
const waitTimeoutMs = 30_000;

/** A list that can be waited for, without polling: of requests, messages, whatever arrives. */
export class Arrivals<T> {
  readonly items: T[] = [];
  /** Also of those that are only counted. */
  count = 0;
  readonly #checks = new Set<() => void>();
  readonly #closed = new AbortController();
  #returned = 0;

  /** Remembers an arrival, or only counts it. */
  add(item?: T): void {
    this.count += 1;
    if (item !== undefined) this.items.push(item);
    for (const check of this.#checks) check();
  }

  /** The first item that `next` has not returned before. */
  next(): Promise<T> {
    const index = this.#returned++;
    return this.#wait(`item ${index + 1}`, () => this.items[index]);
  }

  /** All items, as soon as n have arrived. */
  waitFor(n: number): Promise<readonly T[]> {
    return this.#wait(`${n} of them`, () => (this.count >= n ? this.items : undefined));
  }

  /** The first item, past or to come, that satisfies the predicate. */
  until(predicate: (item: T) => boolean): Promise<T> {
    return this.#wait("one that fits", () => this.items.find(predicate));
  }

  /** Fails whoever still waits. */
  close(): void {
    this.#closed.abort();
  }

  async #wait<R>(what: string, find: () => R | undefined): Promise<R> {
    const found = find();
    if (found !== undefined) return found;
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const fail = (why: string) => reject(new Error(`${why} while waiting for ${what}; ${this.count} arrived`));
    const check = () => {
      const late = find();
      if (late !== undefined) resolve(late);
    };
    const onClose = () => fail("Closed");
    const timer = setTimeout(fail, waitTimeoutMs, `Gave up after ${waitTimeoutMs} ms`);
    this.#checks.add(check);
    this.#closed.signal.addEventListener("abort", onClose);
    try {
      if (this.#closed.signal.aborted) fail("Closed");
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#checks.delete(check);
      this.#closed.signal.removeEventListener("abort", onClose);
    }
  }
}
