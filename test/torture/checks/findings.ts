/** Violations as they are found: the first of each check are told, the others counted. */
import type { CheckName, Violation } from "../stage.ts";

const listedMax = 20;

export interface Findings {
  /** Adds what was found; undefined is nothing. */
  readonly add: (check: CheckName, whats: Iterable<string | undefined>) => void;
  /** Adds all that others have. */
  readonly join: (others: Findings) => void;
  readonly list: () => readonly Violation[];
  /** What was found by each check, and how many more were. */
  readonly found: ReadonlyMap<CheckName, { readonly listed: readonly string[]; readonly more: number }>;
}

/** Opens an empty list. */
export const createFindings = (): Findings => {
  const found = new Map<CheckName, { listed: string[]; more: number }>();
  const noteOf = (check: CheckName) => {
    const note = found.get(check) ?? { listed: [], more: 0 };
    found.set(check, note);
    return note;
  };
  const add = (check: CheckName, whats: Iterable<string | undefined>): void => {
    for (const what of whats) {
      if (what === undefined) continue;
      const note = noteOf(check);
      if (note.listed.length < listedMax) note.listed.push(what);
      else note.more += 1;
    }
  };
  return {
    found,
    add,
    join: (others) => {
      for (const [check, { listed, more }] of others.found) {
        add(check, listed);
        noteOf(check).more += more;
      }
    },
    list: () =>
      [...found].flatMap(([check, { listed, more }]) =>
        [...listed, ...(more === 0 ? [] : [`and ${more} more`])].map((what) => ({ check, what })),
      ),
  };
};
