/** Random numbers from a seed, so that a run can be repeated. */

export interface Random {
  /** 0 up to, and without, 1. */
  readonly next: () => number;
  /** A whole number from min to max. */
  readonly whole: (min: number, max: number) => number;
  /** One of the items, which must not be empty. */
  readonly pick: <T>(items: readonly T[]) => T;
  /** One of the items, in proportion to their weights. */
  readonly weighted: <T>(items: readonly T[], weightOf: (item: T) => number) => T;
}

/** The generator mulberry32 (Tommy Ettinger, public domain): one step for each number, full period of 2^32. */
export const createRandom = (seed: number): Random => {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const pick = <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)] as T;
  return {
    next,
    whole: (min, max) => min + Math.floor(next() * (max - min + 1)),
    pick,
    weighted: (items, weightOf) => {
      let left = next() * items.reduce((sum, item) => sum + weightOf(item), 0);
      for (const item of items) {
        left -= weightOf(item);
        if (left < 0) return item;
      }
      return pick(items);
    },
  };
};
