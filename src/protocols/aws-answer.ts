/** What an answer of Amazon's cloud, or the lack of one, means for a delivery: told by error codes, never by messages. */
import type { FailureCode, Outcome, ResponseRecord } from "../destination.ts";
import { abortable } from "../dial.ts";
import { abortError, DialError } from "../dial-error.ts";
import { codeOf } from "../errors.ts";
import { dead, outcomeOfDialError, retry } from "../outcome.ts";

/** Carries an outcome through the SDK: of credentials that there are none of. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super("the credentials cannot be used");
    this.outcome = outcome;
  }
}

/** Codes of SQS, EventBridge and STS, and those that all services share; without the ending `Exception`. */
const codes: Partial<Record<FailureCode, string>> = {
  auth_failed:
    "AccessDenied AuthFailure ExpiredToken IncompleteSignature InvalidAccessKeyId InvalidClientTokenId InvalidSecurity InvalidSignature KmsAccessDenied MissingAuthenticationToken NotAuthorized OptInRequired RequestExpired RequestTimeTooSkewed SignatureDoesNotMatch UnrecognizedClient",
  not_found: "EventBusNotFound KmsNotFound NonExistentQueue QueueDeletedRecently QueueDoesNotExist ResourceNotFound",
  throttled:
    "BandwidthLimitExceeded KmsThrottled LimitExceeded RequestLimitExceeded RequestThrottled SlowDown Throttled Throttling TooManyRequests",
  unavailable:
    "ConcurrentModification Internal InternalError InternalFailure InternalServerError InternalServiceError KmsDisabled KmsInvalidState OperationDisabled RequestTimeout ServiceUnavailable Unavailable",
  too_large: "BatchRequestTooLong RequestEntityTooLarge",
};
const codeByError: ReadonlyMap<string, FailureCode> = new Map(
  Object.entries(codes).flatMap(([code, names]) => names.split(" ").map((name) => [name, code as FailureCode])),
);
const codeByStatus: Readonly<Record<number, FailureCode>> = {
  401: "auth_failed",
  403: "auth_failed",
  404: "not_found",
  413: "too_large",
  429: "throttled",
};

const outcomeOfCode = (code: FailureCode, reason: string, response?: ResponseRecord): Outcome => {
  const final = code === "too_large" || code === "rejected";
  return { ...(final ? dead(code, reason) : retry(code, reason)), ...(response !== undefined && { response }) };
};

/** `com.amazonaws.sqs#AWS.SimpleQueueService.NonExistentQueue` → `NonExistentQueue`. */
const bareName = (error: string): string => error.replace(/^.*[.#]/s, "").replace(/Exception$/, "");

/** What of a foreign error code may stand in a reason. */
const shownName = (error: string): string => (/^[\w.#:-]{1,100}$/.test(error) ? error : "an unknown error");

/**
 * What it means that a service refuses one message of a request, or all of them.
 *
 * @param error the service's code, as `ThrottlingException`
 * @param otherwise for codes that are in no table
 */
export const outcomeOfAwsCode = (
  service: string,
  error: string,
  otherwise: FailureCode,
  response?: ResponseRecord,
): Outcome =>
  outcomeOfCode(codeByError.get(bareName(error)) ?? otherwise, `${service} answered ${shownName(error)}`, response);

interface SdkError extends Error {
  readonly $fault?: "client" | "server";
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
}

const responseOf = ({ $metadata }: SdkError): ResponseRecord | undefined => {
  if ($metadata?.httpStatusCode === undefined) return undefined;
  const { httpStatusCode: status, requestId } = $metadata;
  return { status, ...(requestId !== undefined && { headers: { "x-amzn-requestid": requestId } }) };
};

const statusCode = (status: number): FailureCode => {
  if (status >= 500) return "unavailable";
  return codeByStatus[status] ?? (status >= 300 && status < 400 ? "redirect" : "http_status");
};

/** Not the service's own words: another server, a proxy, or half an answer. */
const outcomeOfUnreadable = (service: string, error: SdkError): Outcome => {
  const response = responseOf(error);
  const status = response?.status ?? 200;
  return status < 300
    ? outcomeOfCode("protocol", `the answer is not one that ${service} gives`, response)
    : outcomeOfCode(statusCode(status), `HTTP ${status} without an error of ${service}`, response);
};

/** The SDK calls an error that came without a name `Unknown`. */
const isService = (error: SdkError): boolean => error.$fault !== undefined && error.name !== "Unknown";

/**
 * What an error that the SDK threw means. It has no code of Node's or undici's, unless we called these wrongly.
 *
 * @throws the error itself when it is none of the world's, but a bug
 */
export const outcomeOfAwsError = (service: string, error: unknown, signal: AbortSignal): Outcome => {
  if (error instanceof RefusedError) return error.outcome;
  if (error instanceof DialError) return outcomeOfDialError(error);
  if (!(error instanceof Error) || codeOf(error) !== undefined) throw error;
  const told: SdkError = error;
  if (isService(told)) {
    const response = responseOf(told);
    const byStatus = statusCode(response?.status ?? 400);
    return outcomeOfAwsCode(service, told.name, byStatus === "http_status" ? "rejected" : byStatus, response);
  }
  return signal.aborted ? outcomeOfDialError(abortError(signal)) : outcomeOfUnreadable(service, told);
};

/** What an error on the way to a role's credentials means. Credentials of the worker that are bad are no tenant's fault. */
export const outcomeOfStsError = (error: unknown, signal: AbortSignal): Outcome => {
  if (error instanceof Error && /^(Credentials|Token)ProviderError$/.test(error.name)) {
    return retry("auth_failed", "this worker has no AWS credentials of its own to assume a role with", { ours: true });
  }
  const outcome = outcomeOfAwsError("STS", error, signal);
  if (outcome.kind === "dead" && outcome.code === "rejected")
    return dead("config_invalid", `role_arn: ${outcome.reason}`);
  if (outcome.kind !== "retry" || outcome.code !== "auth_failed") return outcome;
  return bareName((error as Error).name) === "AccessDenied" ? outcome : { ...outcome, ours: true };
};

/**
 * Waits for a request of the SDK, but not longer than the signal lasts: the SDK does not pass it on to all it does.
 *
 * @returns what the service answered, or what the lack of it means
 */
export const answerOf = async <Output>(
  service: string,
  signal: AbortSignal,
  work: (abortSignal: AbortSignal) => Promise<Output>,
): Promise<{ readonly output: Output } | { readonly failure: Outcome }> => {
  if (signal.aborted) return { failure: outcomeOfDialError(abortError(signal)) };
  try {
    return { output: await abortable(work(signal), signal) };
  } catch (error) {
    return { failure: outcomeOfAwsError(service, error, signal) };
  }
};
