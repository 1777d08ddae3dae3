/** Makes up events: odd bytes, keys of the maker's own that count up, marks that never come again. */
import { hash } from "node:crypto";
import type { Random } from "../random.ts";
import type { IntendedEvent } from "../stage.ts";

/** With the text of its payload, which the ledger knows only by its hash. */
export interface MadeEvent extends IntendedEvent {
  readonly payload: string;
}

/** What an event is about. */
export interface Subject {
  readonly mark: string;
  readonly tenant: string;
  readonly topic: string;
  readonly key?: string;
  readonly n: number;
  readonly amount: number;
}

/** JSON as a producer may write it; a parser that prints it again would change most of these. */
const notes = [
  '"plain"',
  '"é, 中文, 🚚 and \\u00e9"',
  '{"b": 1.10, "a" : 1e2, "a": 12345678901234567890}',
  "[ ]",
  '"\\u0041\\/\\"quoted\\""',
  "-0.0",
  `"${"long ".repeat(300)}"`,
];

/** Writes the payload. */
export const dress = (subject: Subject, note: string): MadeEvent => {
  const { mark, tenant, key, n, amount } = subject;
  const known = `"mark": "${mark}", "tenant": "${tenant}", "key": ${key === undefined ? "null" : `"${key}"`}`;
  const payload = `{${known}, "n": ${n}, "amount": ${amount},\t"price": ${amount}.50, "note": ${note}}`;
  return { ...subject, payload, hash: hash("sha256", payload) };
};

export interface Maker {
  /** Events of one batch. Keys of deferred ones are others: a key is either always deferred or never. */
  readonly make: (count: number, isDeferred: boolean) => readonly MadeEvent[];
}

export interface MakerOptions {
  /** Begins all marks and keys. */
  readonly name: string;
  readonly tenants: readonly string[];
  readonly random: Random;
}

const keysOfTenant = 3;

/** `order.paid` always has a key; the last topic is nobody's. */
const topics = ["order.paid", "order.paid", "order.paid", "order.created", "order.cancelled", "stock.counted"];

export const createMaker = ({ name, tenants, random }: MakerOptions): Maker => {
  const counts = new Map<string, number>();
  let marks = 0;
  const nextOf = (key: string): number => {
    const n = (counts.get(key) ?? 0) + 1;
    counts.set(key, n);
    return n;
  };
  const make = (isDeferred: boolean): MadeEvent => {
    const tenant = random.pick(tenants);
    const topic = random.pick(topics);
    const hasKey = topic === "order.paid" || random.next() < 0.3;
    const key = `${name}-${tenant}-${isDeferred ? "deferred-" : ""}${random.whole(1, keysOfTenant)}`;
    const keyed = hasKey ? { key, n: nextOf(key) } : { n: 0 };
    const subject = { mark: `${name}-${++marks}`, tenant, topic, ...keyed, amount: random.whole(1, 1_000) };
    return dress(subject, random.pick(notes));
  };
  return { make: (count, isDeferred) => Array.from({ length: count }, () => make(isDeferred)) };
};
