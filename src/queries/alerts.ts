/** What somebody should know about a destination. */
import { type Kysely, sql } from "kysely";

/** Looks for what is new or over, and tells it; workers take turns. @returns how many alerts were told */
export const evaluateAlerts = async (kysely: Kysely<unknown>): Promise<number> =>
  (await sql<{ told: number }>`select outbox.evaluate_alerts() as told`.execute(kysely)).rows[0]?.told ?? 0;
