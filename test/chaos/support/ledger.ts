/**
 * The books of a test, compared: what was committed, what was delivered, what arrived, and which attempts were recorded.
 * Each was written down by somebody else: the producer, the engine, the receiver.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { TestDatabase } from "../../support/database.ts";
import type { ReceivedRequest } from "../../support/receiver.ts";

/** An event with its delivery (of a test with one destination) and how its attempts ended. */
interface Entry {
  readonly id: string;
  readonly payload: string;
  readonly status: string | null;
  readonly claimed: boolean;
  /** Outcomes by attempt number, "retry: reset" and the like; late answers are not among them. */
  readonly attempts: readonly string[];
}

export interface BooksOptions {
  /** Ids of events whose commit the producers saw. */
  readonly acknowledged?: Iterable<string>;
  /** Payloads that the producers committed, if they know all of them exactly. */
  readonly committedPayloads?: ReadonlySet<string>;
}

/** After these a receiver may have got the event although nobody knows. */
const inDoubt = /^(unknown|retry: (timeout|reset))/;

/** What producers inserted: an alert of what the test does to a destination is none of theirs. */
const readEntries = (db: TestDatabase): Promise<Entry[]> =>
  db.query<Entry & Record<string, unknown>>(
    `select e.id, e.payload::text as payload, d.status::text as status, d.claimed_by is not null as claimed,
       coalesce(a.attempts, '{}') as attempts
     from outbox.events as e
     left join outbox.deliveries as d on d.event_id = e.id
     left join (
       select t.event_id, array_agg(concat_ws(': ', t.outcome::text, t.code) order by t.number) as attempts
       from outbox.attempts as t
       where not t.late
       group by t.event_id
     ) as a on a.event_id = e.id
     where not starts_with(e.topic, 'postrider.')`,
  );

/**
 * Explains every arrival of one event by its attempts, or says what cannot be explained. Each arrival needs an attempt,
 * and each but one an attempt whose answer nobody knows.
 */
export const explainArrivals = (arrivals: number, attempts: readonly string[]): string | undefined => {
  if (arrivals > attempts.length) return `arrived ${arrivals} times in ${attempts.length} attempts`;
  const doubtful = attempts.filter((attempt) => inDoubt.test(attempt)).length;
  if (arrivals > 1 + doubtful) return `arrived ${arrivals} times, but the attempts were ${attempts.join(", ")}`;
  return undefined;
};

const problemsOf = (entry: Entry, arrivals: readonly ReceivedRequest[]): string[] => {
  const problems: (string | undefined)[] = [];
  if (entry.status !== "delivered") problems.push(`is ${entry.status ?? "without a delivery"}`);
  if (entry.claimed) problems.push("is still claimed");
  if (arrivals.length === 0) problems.push("never arrived");
  if (arrivals.some(({ rawBody }) => rawBody.toString() !== entry.payload)) problems.push("arrived with other bytes");
  problems.push(explainArrivals(arrivals.length, entry.attempts));
  return problems.flatMap((problem) => (problem === undefined ? [] : [`${entry.id} ${problem}`]));
};

/** Compares the books, and fails with all that does not agree. Returns how many arrivals were extra. */
export const assertBooksAgree = async (
  db: TestDatabase,
  requests: readonly ReceivedRequest[],
  { acknowledged = [], committedPayloads }: BooksOptions = {},
): Promise<{ readonly events: number; readonly extra: number }> => {
  const entries = await readEntries(db);
  const known = new Set(entries.map(({ id }) => id));
  const arrivals = Map.groupBy(requests, ({ headers }) => String(headers["webhook-id"]));
  const problems = entries.flatMap((entry) => problemsOf(entry, arrivals.get(entry.id) ?? []));
  for (const id of arrivals.keys()) if (!known.has(id)) problems.push(`${id} arrived and was never committed`);
  for (const id of acknowledged) if (!known.has(id)) problems.push(`${id} was acknowledged and is gone`);
  if (committedPayloads !== undefined) {
    const arrived = new Set(requests.map(({ rawBody }) => rawBody.toString()));
    for (const payload of committedPayloads) if (!arrived.has(payload)) problems.push(`never arrived: ${payload}`);
    for (const payload of arrived) if (!committedPayloads.has(payload)) problems.push(`never committed: ${payload}`);
  }
  assert.deepEqual(problems.slice(0, 20), [], `${problems.length} problems in ${entries.length} events`);
  return { events: entries.length, extra: requests.length - entries.length };
};

const pollMs = 50;

/** Waits until a condition holds, asking again and again; returns the milliseconds that took. Fails after `limitMs`. */
export const within = async (
  limitMs: number,
  what: string,
  holds: () => Promise<boolean> | boolean,
): Promise<number> => {
  const startedAt = performance.now();
  for (;;) {
    if (await holds()) return Math.round(performance.now() - startedAt);
    if (performance.now() - startedAt > limitMs) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await pause(pollMs);
  }
};

/** Waits until nothing is pending any more; an error says what still is. */
export const untilAllDelivered = async (db: TestDatabase, limitMs: number): Promise<number> => {
  let left: unknown[] = [];
  try {
    return await within(limitMs, "all delivered", async () => {
      left = await db.query(
        `select event_id, status, attempt_count, error_code, claimed_by, next_attempt_at - now() as due, job_at - now() as job
         from outbox.deliveries where status <> 'delivered' order by seq limit 5`,
      );
      return left.length === 0;
    });
  } catch (cause) {
    const jobs = await db.query(
      "select run_at - now() as due, locked_by, attempts, last_error from graphile_worker._private_jobs limit 5",
    );
    throw new Error(`Still waiting after ${limitMs} ms: ${JSON.stringify({ left, jobs }, undefined, 1)}`, { cause });
  }
};

/** How long a worker may take to complete the jobs whose deliveries are recorded. */
const completeWithinMs = 2_000;

/** Fails when jobs stay locked or deliveries claimed. */
export const assertNothingHeld = async (db: TestDatabase): Promise<void> => {
  const held = async () => [
    ...(await db.lockedJobs()),
    ...(await db.query("select event_id, claimed_by from outbox.deliveries where claimed_by is not null limit 5")),
  ];
  await within(completeWithinMs, "nothing held", async () => (await held()).length === 0).catch(() => {});
  assert.deepEqual(await held(), []);
};
