/** What is recorded of an attempt, its outcome or that nobody knows it, and what the log says of it. */
import type { Outcome } from "./destination.ts";
import type { Log } from "./log.ts";
import { clampRetryAfter } from "./outcome.ts";
import type { AttemptReport, ClaimedDelivery, UndeliveredDelivery } from "./queries/deliveries.ts";
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
  const retryAfterMs = clampRetryAfter(kind === "retry" ? outcome.retryAfterMs : undefined);
  const granted = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { ...report, outcome: kind, code, error: cleanReason(reason), ...rest, ...granted, ...response };
};

/**
 * Logs an attempt in a line; of delivered ones, whose record is the attempt's row, only for who asks for all.
 * @param undelivered what became of a delivery that was not delivered
 */
export const logAttempt = (
  log: Log,
  { destinationId, tenantId }: ClaimedDelivery,
  report: AttemptReport,
  undelivered: UndeliveredDelivery | undefined,
): void => {
  const level = report.outcome === "delivered" ? "debug" : "info";
  if (!log.isLevelEnabled(level)) return;
  const { eventId, subscriptionId, number: attempt, outcome, code, durationMs } = report;
  const { status, nextAttemptAt } = undelivered ?? {};
  log[level](
    {
      eventId,
      subscriptionId,
      destinationId,
      tenantId,
      attempt,
      outcome,
      code,
      httpStatus: report.response?.status,
      durationMs,
      status,
      nextAttemptAt: nextAttemptAt ?? undefined,
    },
    "attempt",
  );
};
