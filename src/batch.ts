/** Turns single calls into batches: what is asked for while a batch is under way goes together in the next one. */
import DataLoader from "dataloader";

/** How large batches may be, and how many may run at once. */
export interface BatchOptions {
  readonly sizeMax: number;
  readonly parallelMax: number;
}

/**
 * A function of one item that runs in batches. An idle moment costs no waiting: the first call starts a batch at the end
 * of this turn of the event loop; under load a batch starts when an earlier one ends, and is as large as has gathered.
 * @param run answers for each item, in order, with a value or an Error
 */
export const batched = <Item, Answer>(
  run: (items: readonly Item[]) => Promise<readonly (Answer | Error)[]>,
  { sizeMax, parallelMax }: BatchOptions,
): ((item: Item) => Promise<Answer>) => {
  let running = 0;
  const waiting: (() => void)[] = [];
  const loader = new DataLoader<Item, Answer>(
    async (items) => {
      try {
        return await run(items);
      } finally {
        running -= 1;
        next();
      }
    },
    {
      cache: false,
      maxBatchSize: sizeMax,
      batchScheduleFn: (start) => {
        waiting.push(start);
        setImmediate(next);
      },
    },
  );
  const next = (): void => {
    if (running >= parallelMax) return;
    const start = waiting.shift();
    if (start === undefined) return;
    running += 1;
    start();
  };
  return (item) => loader.load(item);
};
