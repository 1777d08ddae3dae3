/** Who plays in the demo: three destinations, and how the receiver of each behaves. */
import { randomBytes } from "node:crypto";
import type { ClientBase } from "pg";
import { createWebhook } from "../queries/demo.ts";
import { type Answer, type Receiver, startReceiver } from "./receiver.ts";
import type { Verifier } from "./verifier.ts";

/** Accounting wants orders from this total on. */
export const accountingMin = 100;
/** How long erp asks to be left alone when it fails. */
export const retryAfterMs = 2_000;
const outageRequests = 6;

const healthy: Answer = () => ({ status: 200 });
const failsFirst: Answer = (n) =>
  n <= outageRequests ? { status: 503, headers: { "retry-after": String(retryAfterMs / 1_000) } } : { status: 200 };

interface Role {
  readonly topics: readonly string[];
  readonly filter?: unknown;
  readonly policy?: unknown;
  readonly answer: Answer;
  /** The answers, for people. */
  readonly says: string;
}

/** The destinations by name. */
export const cast = {
  warehouse: { topics: ["order.*"], answer: healthy, says: "answers 200" },
  erp: {
    topics: ["order.*"],
    policy: { schedule_seconds: [1, 1, 2, 2, 4], jitter: 0 },
    answer: failsFirst,
    says: `answers 503, Retry-After: ${retryAfterMs / 1_000}, to its first ${outageRequests} requests`,
  },
  accounting: {
    topics: ["order.paid"],
    filter: { total: { $gte: accountingMin } },
    answer: healthy,
    says: "answers 200",
  },
} as const satisfies Record<string, Role>;

/** Starts a destination's receiver, and makes the destination. */
export const hire = async (name: keyof typeof cast, client: ClientBase, verifier: Verifier): Promise<Receiver> => {
  const { answer, says: _says, ...wishes } = cast[name];
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  const receiver = await startReceiver((headers, body) => verifier.verify(secret, headers, body), answer);
  await createWebhook(client, { name, url: receiver.url, secret, ...wishes });
  return receiver;
};
