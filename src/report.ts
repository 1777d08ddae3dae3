/** What is recorded of an attempt: its outcome, or that nobody knows it. */
import type { Outcome } from "./destination.ts";
import type { AttemptReport, ClaimedDelivery } from "./queries/deliveries.ts";
import { cleanReason } from "./text.ts";

const brokenOff = {
  outcome: "unknown",
  code: "shutdown",
  error: "The worker stopped before the answer came. The event may have arrived.",
} as const;

/**
 * The report of an attempt.
 * @param aborted whether this process breaks off what it is sending: then a fault of ours means that the answer is not known
 */
export const reportOf = (
  { eventId, subscriptionId, attempt }: ClaimedDelivery,
  outcome: Outcome,
  durationMs: number,
  aborted: boolean,
): AttemptReport => {
  const report = { eventId, subscriptionId, number: attempt, durationMs };
  const response = outcome.response === undefined ? {} : { response: outcome.response };
  if (outcome.kind === "delivered") return { ...report, outcome: "delivered", ...response };
  if (aborted && outcome.kind === "retry" && outcome.ours === true) return { ...report, ...brokenOff };
  const { kind, code, reason, response: _response, ...rest } = outcome;
  return { ...report, outcome: kind, code, error: cleanReason(reason), ...rest, ...response };
};
