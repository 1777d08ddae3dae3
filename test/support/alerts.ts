/** What tests of alerts share. */
import type { TestDatabase } from "./database.ts";
import type { Runner } from "./factory.ts";

/** The payload of an event `postrider.alert.<kind>`. */
export interface AlertPayload {
  readonly alert_id: number;
  readonly kind: string;
  readonly state: "firing" | "resolved";
  readonly severity: "info" | "warning" | "critical";
  readonly dedup_key: string;
  readonly tenant_id: string;
  readonly destination_id: string;
  readonly destination: string;
  readonly destination_type: string;
  readonly since: string;
  readonly count: number;
  readonly title: string;
  readonly text: string;
  readonly last_error: { readonly code: string; readonly message: string | null; readonly remedy: string } | null;
  readonly look: string;
  readonly redrive: string | null;
}

/** Looks for alerts, also for what is looked for at longer intervals. @returns how many were told */
export const evaluate = async (on: Runner): Promise<number> => {
  const result = await on.query("select outbox.evaluate_alerts(slow_every => '0') as told");
  const rows = (Array.isArray(result) ? result : (result as { rows: unknown[] }).rows) as { told: number }[];
  return rows[0]?.told ?? 0;
};

/** The events of alerts so far, in order. */
export const toldSoFar = async (db: TestDatabase): Promise<AlertPayload[]> =>
  (
    await db.query<{ payload: AlertPayload }>(
      "select payload from outbox.events where starts_with(topic, 'postrider.alert.') order by seq",
    )
  ).map(({ payload }) => payload);

/** Looks for alerts. @returns what was told by that, as "kind state severity" */
export const newlyTold = async (db: TestDatabase): Promise<string[]> => {
  const before = (await toldSoFar(db)).length;
  await evaluate(db);
  return (await toldSoFar(db)).slice(before).map(({ kind, state, severity }) => `${kind} ${state} ${severity}`);
};

/** The destination has failed so many times in a row, for so many minutes, last just now. */
export const failInARow = (db: TestDatabase, destinationId: string, failures: number, minutes = 10) =>
  db.query(
    `insert into outbox.destination_health as h
       (destination_id, consecutive_failures, first_failure_at, last_failure_at, last_error_code, last_error)
     values ($1, $2, now() - make_interval(mins => $3), now(), 'connect', 'connection refused')
     on conflict (destination_id) do update
     set consecutive_failures = excluded.consecutive_failures, last_failure_at = excluded.last_failure_at,
       first_failure_at = coalesce(h.first_failure_at, excluded.first_failure_at),
       last_error_code = excluded.last_error_code, last_error = excluded.last_error`,
    [destinationId, failures, minutes],
  );

/** The destination has answered just now. */
export const answer = (db: TestDatabase, destinationId: string) =>
  db.query("select outbox.record_success(array[$1]::uuid[], array[1])", [destinationId]);

/** The engine notes what it did to a destination. */
export const note = (on: Runner, action: string, destinationId: string, detail: object = {}, actor = "postrider") =>
  on.query("select outbox.audit($1, $2, null, $3, $4)", [action, actor, destinationId, JSON.stringify(detail)]);

/** Whatever was looked at so far was long ago, and every transaction of that time has ended. */
export const letTimePass = async (db: TestDatabase, interval: string): Promise<void> => {
  await db.query(
    `update outbox.alerts set seen_at = seen_at - $1::interval, told_at = told_at - $1::interval, since = since - $1::interval,
       created_at = created_at - $1::interval, resolved_at = resolved_at - $1::interval`,
    [interval],
  );
  await db.query(
    `update outbox.deliveries set dead_at = dead_at - $1::interval, finished_at = finished_at - $1::interval where dead_at is not null`,
    [interval],
  );
};
