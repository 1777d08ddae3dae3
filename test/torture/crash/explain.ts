/** Whether what arrived, what was recorded, and what was committed agree, for one crash. */
import type { CheckName } from "../stage.ts";

/** An event, its delivery and its attempts, as the database has them. */
export interface Entry {
  readonly n: number;
  readonly status: string | null;
  /** In their order; late answers are not among them. */
  readonly attempts: readonly Attempt[];
}

interface Attempt {
  readonly number: number;
  readonly outcome: string;
  readonly code: string | null;
  /** Of the answer, where one came. */
  readonly status: number | null;
}

/** An arrival at the receiver: of which event, and with what it was answered, if it was. */
export interface Arrival {
  readonly n: number;
  readonly status: number | undefined;
}

export interface Finding {
  readonly check: CheckName;
  readonly what: string;
}

/** The events of a crash that were committed, as {@link Entry}s. */
export const entriesSql = `
  select (e.payload::jsonb ->> 'n')::integer as n, d.status, coalesce(a.attempts, '[]') as attempts
  from outbox.events as e
  left join outbox.deliveries as d on d.event_id = e.id
  left join lateral (
    select json_agg(
      json_build_object('number', t.number, 'outcome', t.outcome, 'code', t.code, 'status', (t.response ->> 'status')::integer)
      order by t.number) as attempts
    from outbox.attempts as t
    where t.event_id = e.id and not t.late
  ) as a on true
  where e.topic = $1
  order by n`;

/** After these the receiver may have it although nobody knows. */
const isDoubtful = ({ outcome, code }: Attempt): boolean =>
  outcome === "unknown" || code === "timeout" || code === "reset";

const show = (entry: Entry, arrivals: readonly Arrival[]): string => {
  const attempts = entry.attempts.map(({ outcome, code, status }) => [outcome, code, status].filter(Boolean).join(" "));
  const answers = arrivals.map(({ status }) => status ?? "no answer");
  return `event ${entry.n} arrived ${arrivals.length} times (${answers.join(", ")}), attempts: ${attempts.join(", ")}`;
};

const findingsOf = (entry: Entry, arrivals: readonly Arrival[]): Finding[] => {
  const { status, attempts } = entry;
  const answered = attempts.filter((attempt) => attempt.status !== null).length;
  const doubtful = attempts.filter(isDoubtful).length;
  const delivered = attempts.filter(({ outcome }) => outcome === "delivered").length;
  const findings: Finding[] = [];
  const find = (check: CheckName, isBroken: boolean, what: string): void => {
    if (isBroken) findings.push({ check, what: `${what}: ${show(entry, arrivals)}` });
  };
  find("loss", status === null || arrivals.length === 0, "lost");
  find("limbo", status !== "delivered", `is ${status ?? "without a delivery"}`);
  find("evidence", arrivals.length > attempts.length, "more arrivals than attempts");
  find("evidence", answered > arrivals.length, "more answers than arrivals");
  find(
    "evidence",
    attempts.some(({ number }, index) => number !== index + 1),
    "attempts with gaps",
  );
  find("duplicates", arrivals.length > answered + doubtful, "an arrival too many");
  find("duplicates", delivered !== 1, `${delivered} attempts that delivered`);
  return findings;
};

/** Each of a lane comes after the one before was taken; what comes again after a crash comes again in order. */
const orderFindings = (arrivals: readonly Arrival[], events: number): Finding[] => {
  const isInOrder = (n: number): boolean => {
    const taken = arrivals.findIndex((arrival) => arrival.n === n - 1 && arrival.status === 200);
    const lastBefore = arrivals.findLastIndex((arrival) => arrival.n === n - 1);
    const first = arrivals.findIndex((arrival) => arrival.n === n);
    const last = arrivals.findLastIndex((arrival) => arrival.n === n);
    return taken >= 0 && taken < first && lastBefore < last;
  };
  const wrong = Array.from({ length: events - 1 }, (_, index) => index + 2).filter((n) => !isInOrder(n));
  const sequence = arrivals.map(({ n, status }) => `${n} (${status ?? "no answer"})`).join(", ");
  return wrong.map((n) => ({ check: "order", what: `event ${n} out of order: ${sequence}` }));
};

/** All that does not agree. */
export const explain = (
  entries: readonly Entry[],
  arrivals: readonly Arrival[],
  given: { readonly events: number; readonly isOrdered: boolean },
): Finding[] => {
  const byEvent = Map.groupBy(arrivals, ({ n }) => n);
  const findings = entries.flatMap((entry) => findingsOf(entry, byEvent.get(entry.n) ?? []));
  if (entries.length !== given.events)
    findings.push({ check: "loss", what: `${entries.length} of ${given.events} events` });
  return given.isOrdered ? [...findings, ...orderFindings(arrivals, given.events)] : findings;
};
