/**
 * Mutants: defects seeded in the engine, to see that the checks can fail. A drill is a short story that such a defect
 * spoils, and that ends well on the healthy engine.
 */
import type { CheckName, Edit, Stage, WorkerOptions, WorkerProcess } from "../stage.ts";

/** A change to the text of a function in the database: each `from` occurs exactly once in its definition. */
export interface FunctionEdit {
  /** As `regprocedure` reads it: `outbox.wake(uuid[],uuid[],timestamptz,integer)`. */
  readonly name: string;
  readonly replace: readonly { readonly from: string; readonly to: string }[];
}

export interface Mutant {
  readonly name: string;
  /** What is wrong with this engine, in a sentence. */
  readonly breaks: string;
  /** The one check that must turn red. */
  readonly expects: CheckName;
  readonly drill: Drill;
  /** Of the package's code. */
  readonly edits?: readonly Edit[];
  /** Of what lies in the database: a statement, or a change to a function. */
  readonly sql?: readonly (string | FunctionEdit)[];
  /** Of the server: its drill must have a cluster of its own. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What a drill needs of the machine. */
export type Need = "private network" | "own cluster" | "broker";

/** A stage, and workers with the defect that is drilled. */
export interface Actors {
  readonly stage: Stage;
  readonly startWorker: (options?: Omit<WorkerOptions, "edits">) => Promise<WorkerProcess>;
}

export interface Drill {
  readonly name: string;
  readonly needs?: readonly Need[];
  /** How long everything may take to come to rest after the story; default 10 s. */
  readonly restSeconds?: number;
  /** The story, up to the moment when nothing disturbs any more. */
  readonly play: (actors: Actors) => Promise<void>;
}

/** What became of a mutant. */
export interface MutantReport {
  readonly name: string;
  readonly expected: CheckName;
  readonly red: readonly CheckName[];
  /** Exactly the expected check was red. */
  readonly killed: boolean;
  readonly seconds: number;
}
