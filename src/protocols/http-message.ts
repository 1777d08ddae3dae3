/** What requests to receivers of HTTP have in common: who sends, the event's own headers, HMACs. */
import { createHmac, type KeyObject } from "node:crypto";
import type { Message } from "../destination.ts";
import { isReservedHeader } from "../headers.ts";

export const userAgent = "Postrider (+https://www.npmjs.com/package/postrider)";
/** Connections of one destination at most. */
export const httpConnectionsMax = 128;

/** CloudEvents HTTP binding 3.1.3.2: what is not printable ASCII, and `"` and `%`, is percent-encoded. */
const headerValue = (value: string): string =>
  value.replaceAll(/[^\u0021-\u007e]|["%]/gu, (character) => encodeURIComponent(character));

/** CloudEvents attributes as headers. */
export const headersOfAttributes = (attributes: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, headerValue(value)]));

export const lowerCaseNames = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** The event's own headers, names in lower case, without those that are ours to set. */
export const eventHeaders = ({ headers }: Message): Record<string, string> =>
  headers === null
    ? {}
    : lowerCaseNames(Object.fromEntries(Object.entries(headers).filter(([name]) => !isReservedHeader(name))));

/** HMAC-SHA256 of a text (RFC 2104). */
export const hmac = (key: KeyObject, text: string, encoding: "base64" | "hex"): string =>
  createHmac("sha256", key).update(text).digest(encoding);
