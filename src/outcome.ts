/** What an answer, or the lack of one, means for a delivery: the table of the README, for every type that speaks HTTP. */
import type { FailureCode, Outcome } from "./destination.ts";
import type { DialError, HttpResponse } from "./outbound.ts";

const retryAfterMaxMs = 24 * 3_600_000;

/** A wait that a receiver asks for, as far as it is granted: whole milliseconds from 0 to 24 hours; undefined for no number. */
export const clampRetryAfter = (ms: number | undefined): number | undefined =>
  ms === undefined || Number.isNaN(ms) ? undefined : Math.round(Math.min(Math.max(ms, 0), retryAfterMaxMs));

/** The forms of HTTP dates (RFC 9110, 5.6.7) and ISO 8601 with a zone: `Date.parse` alone finds a date in "wait 50". */
const zonedDate =
  /^(?:[A-Z][a-z]{2,8}, \d\d[ -][A-Z][a-z]{2}[ -](?:\d\d){1,2} [\d:]{8} GMT|\d{4}-\d\d-\d\dT[\d:.]{5,16}(?:Z|[+-]\d\d:\d\d))$/;
const asctimeDate = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}$/;

/**
 * Reads `Retry-After` (RFC 9110, 10.2.3): seconds or a date.
 * @returns milliseconds from now, from 0 to 24 hours; undefined for anything else
 */
export const readRetryAfter = (value: string | undefined, now: Date): number | undefined => {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) return clampRetryAfter(Number(text) * 1000);
  if (zonedDate.test(text)) return clampRetryAfter(Date.parse(text) - now.getTime());
  return asctimeDate.test(text) ? clampRetryAfter(Date.parse(`${text} GMT`) - now.getTime()) : undefined;
};

/** A failure that no retry mends: the event, or the destination as it is configured, must change. */
export const dead = (code: FailureCode, reason: string): Outcome => ({ kind: "dead", code, reason });

/** A failure that the next attempt may not meet. */
export const retry = (
  code: FailureCode,
  reason: string,
  rest: Pick<Extract<Outcome, { kind: "retry" }>, "retryAfterMs" | "ours" | "response"> = {},
): Outcome => ({ kind: "retry", code, reason, ...rest });

/** The message is larger than its protocol takes. */
export const tooLarge = (bytes: number, bytesMax: number, what = "the message"): Outcome =>
  dead("too_large", `${what} has ${bytes} bytes, and at most ${bytesMax} fit`);

const failed = (
  kind: "retry" | "dead",
  code: FailureCode,
  reason: string,
  rest: Partial<Extract<Outcome, { kind: "retry" }>> & { readonly disable?: boolean },
): Outcome => ({ kind, code, reason, ...rest }) as Outcome;

/**
 * What an HTTP answer means: 2xx delivered; 410 dead, and the destination wants no more; statuses that the policy lists
 * dead; 3xx (never followed) and all others are tried again, not before `Retry-After`.
 */
export const outcomeOfResponse = (answer: HttpResponse, deadStatuses: readonly number[], now: Date): Outcome => {
  const { status, headers, body } = answer;
  const response = { status, headers, body };
  if (status >= 200 && status < 300) return { kind: "delivered", response };
  if (status === 410) {
    return failed("dead", "gone", "HTTP 410: the receiver wants no more events", { response, disable: true });
  }
  const redirect = status >= 300 && status < 400;
  const code = redirect ? "redirect" : "http_status";
  const reason = redirect ? `HTTP ${status}: redirects are not followed, give the final URL` : `HTTP ${status}`;
  if (deadStatuses.includes(status)) return failed("dead", code, `${reason} (final by policy)`, { response });
  const retryAfterMs = readRetryAfter(headers["retry-after"], now);
  return failed("retry", code, reason, { response, ...(retryAfterMs !== undefined && { retryAfterMs }) });
};

/** What a connection that failed means: a forbidden address is final, everything else is tried again. */
export const outcomeOfDialError = (error: DialError): Outcome =>
  error.code === "blocked_address"
    ? { kind: "dead", code: error.code, reason: error.message }
    : { kind: "retry", code: error.code, reason: error.message, ours: error.ours };
