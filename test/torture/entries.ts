/** What stands in the ledgers: each is written by one process, which no other controls. */

/** What a producer writes down: `intent` before it sends the commit, then what it heard of it. */
export type ProducerEntry =
  | { readonly kind: "intent"; readonly at: number; readonly batch: string; readonly events: readonly IntendedEvent[] }
  | { readonly kind: "ack" | "reject" | "unknown"; readonly at: number; readonly batch: string };

/** An event as its producer knows it. Its mark stands in the payload, `{"mark": "...", ...}`, and is never used twice. */
export interface IntendedEvent {
  readonly mark: string;
  readonly tenant: string;
  readonly topic: string;
  readonly key?: string;
  /** Counts up per key, in the order of the commits. */
  readonly n: number;
  readonly amount: number;
  /** SHA-256 of the payload's bytes, in hex. */
  readonly hash: string;
}

/** What a sink writes down before it answers. */
export interface SinkEntry {
  readonly at: number;
  /** Name of the sink. */
  readonly sink: string;
  /** The event's id, as the message says. */
  readonly id: string;
  /** The mark found in the body; empty where there is none. */
  readonly mark: string;
  readonly tenant: string;
  readonly key: string;
  readonly n: number;
  readonly hash: string;
  /** Whether a secret that was valid at the time signed it; `none` where the protocol has no signatures. */
  readonly signature: "good" | "bad" | "none";
}

/** Somebody who should not have been connected to was: at a forbidden address, or behind a certificate that is wrong. */
export interface CanaryEntry {
  readonly at: number;
  readonly address: string;
  readonly port: number;
}
