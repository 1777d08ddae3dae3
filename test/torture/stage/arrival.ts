/** What has arrived at a sink, as its ledger says it. */
import { hash } from "node:crypto";
import type { SinkEntry } from "../stage.ts";

interface Body {
  readonly mark: string;
  readonly tenant: string;
  readonly key: string;
  readonly n: number;
}

const noBody: Body = { mark: "", tenant: "", key: "", n: 0 };

/** The fields that producers put in; anything else is empty. */
const readBody = (body: Buffer): Body => {
  try {
    const { mark, tenant, key, n } = JSON.parse(body.toString()) as Partial<Record<keyof Body, unknown>>;
    const text = (value: unknown): string => (typeof value === "string" ? value : "");
    return { mark: text(mark), tenant: text(tenant), key: text(key), n: typeof n === "number" ? n : 0 };
  } catch {
    return noBody;
  }
};

/** The entry of a message that arrived now. */
export const arrivalOf = (sink: string, id: string, body: Buffer, signature: SinkEntry["signature"]): SinkEntry => ({
  at: Date.now(),
  sink,
  id,
  ...readBody(body),
  hash: hash("sha256", body),
  signature,
});

/** The ledger of a sink, and that of requests at its wrong certificates. */
export const ledgerOf = (sink: string): string => `sink-${sink}.jsonl`;
export const canaryLedgerOf = (sink: string): string => `canary-${sink}.jsonl`;
