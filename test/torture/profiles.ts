/** How long and how hard a run is. */

export interface Profile {
  /** Of the storm: how long faults strike. */
  readonly stormSeconds: number;
  /** Events that are committed at least; the storm goes on until they are. */
  readonly events: number;
  readonly eventsPerSecond: number;
  /** Faults that strike at least; the storm goes on until they have. */
  readonly faults: number;
  /** How many crashes are tried, evenly spread; all of them when undefined. */
  readonly crashPoints: number | undefined;
  /** Crash at each time that a fail point is reached, not once on each way. */
  readonly everyHit?: boolean;
  /** How many mutants are tried; all of them when undefined. */
  readonly mutants: number | undefined;
}

/** `slice` is for every build, `ci` for every change that matters (8 minutes), `nightly` for a night (2 hours). */
export const profiles = {
  slice: { stormSeconds: 30, events: 5_000, eventsPerSecond: 300, faults: 25, crashPoints: 12, mutants: 3 },
  ci: { stormSeconds: 180, events: 50_000, eventsPerSecond: 400, faults: 200, crashPoints: undefined, mutants: 0 },
  nightly: {
    stormSeconds: 5_400,
    events: 1_000_000,
    eventsPerSecond: 300,
    faults: 2_000,
    crashPoints: undefined,
    everyHit: true,
    mutants: undefined,
  },
} as const satisfies Readonly<Record<string, Profile>>;
