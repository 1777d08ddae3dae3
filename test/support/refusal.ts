/** What Postgres refuses, in the words that a person sees. */
import pg from "pg";

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** The name of the constraint that was broken, or "". */
  readonly constraint: string;
}

/** How a statement was refused; one that was not, or that failed outside of Postgres, fails the test. */
export async function refusalOf(work: Promise<unknown>): Promise<Refusal> {
  const outcome: unknown = await work.then(
    () => new Error("It was not refused"),
    (error: unknown) => error,
  );
  if (!(outcome instanceof pg.DatabaseError)) throw outcome;
  const { code = "", message, hint = "", constraint = "" } = outcome;
  return { code, message, hint, constraint };
}

/** Everything that may be written by a change to a destination. */
export const snapshotSql = `select
  (select json_agg(t order by id) from outbox.destinations as t) as destinations,
  (select json_agg(t order by id) from outbox.destination_secrets as t) as secrets,
  (select json_agg(t order by id) from outbox.subscriptions as t) as subscriptions,
  (select count(*) from outbox.audit_log) as audited`;
