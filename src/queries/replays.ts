/** Replays and start positions: the part of them that workers do. */
import { type Kysely, sql } from "kysely";

/** Advances the run that has been due for longest by one step. Returns whether there was one. */
export const advanceReplays = async (kysely: Kysely<unknown>): Promise<boolean> => {
  const { rows } = await sql<{ advanced: boolean }>`select outbox.advance_replays() as advanced`.execute(kysely);
  return rows[0]?.advanced === true;
};
