/** A queue whose first item is taken out in constant time: an array moves all others. */

/** So many places at the front may be empty before the array is cut. */
const emptyMax = 1_024;

/** First in, first out; and, where somebody gives up, last out. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The one that `shift` takes out. */
  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes out the first. */
  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.length === 0) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.length === 0) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > emptyMax && this.#head > this.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes out one, wherever it stands; that takes as long as the queue is. */
  remove(item: T): void {
    this.#items = this.#items.slice(this.#head).filter((other) => other !== item);
    this.#head = 0;
  }

  /** Takes out the last. */
  pop(): T | undefined {
    return this.length === 0 ? undefined : this.#items.pop();
  }
}
