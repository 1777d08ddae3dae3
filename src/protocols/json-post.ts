/** One POST of JSON to a service that shows it to people, and what its answer means. */
import type { DeliverContext, Outcome } from "../destination.ts";
import { DialError, type HttpPool, type HttpResponse } from "../outbound.ts";
import { outcomeOfDialError, outcomeOfResponse } from "../outcome.ts";
import { userAgent } from "./http-message.ts";

/** Where and what to post. */
export interface JsonPost {
  readonly pool: HttpPool;
  readonly path: string;
  readonly body: string;
  /** What must not be read in an outcome, even where the service repeats what it was sent. */
  readonly secret: string;
  /** What the service's own words say, where they say more than the status; undefined leaves it to the status. */
  readonly meaning: (answer: HttpResponse) => Outcome | undefined;
}

const hide = (answer: HttpResponse, secret: string): HttpResponse => ({
  ...answer,
  headers: Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [name, value.replaceAll(secret, "(secret)")]),
  ),
  body: answer.body.replaceAll(secret, "(secret)"),
});

/** Posts, and reads the answer: what the policy calls final stays so, then the service's words count, then the status. */
export const postJson = async (
  { pool, path, body, secret, meaning }: JsonPost,
  { dialler, signal, deadStatuses, now }: DeliverContext<unknown, unknown>,
): Promise<Outcome> => {
  const headers = { "user-agent": userAgent, "content-type": "application/json; charset=utf-8" };
  try {
    const answer = hide(await dialler.request(pool, { method: "POST", path, headers, body, signal }), secret);
    const byStatus = outcomeOfResponse(answer, deadStatuses, now);
    if (byStatus.kind === "delivered" || deadStatuses.includes(answer.status)) return byStatus;
    const meant = meaning(answer);
    if (meant === undefined) return byStatus;
    const { status, headers: kept, body: text } = answer;
    const wish = meant.kind === "retry" && "retryAfterMs" in byStatus ? { retryAfterMs: byStatus.retryAfterMs } : {};
    return { ...meant, ...wish, response: { status, headers: kept, body: text } };
  } catch (error) {
    if (error instanceof DialError) return outcomeOfDialError(error);
    throw error;
  }
};
