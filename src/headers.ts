/**
 * Which headers a tenant may add to requests. Checked when a destination is saved and again before each send, on the
 * rendered values: what the engine signs, routes and frames must not be forged, and cloud metadata services open up to
 * a header alone.
 */

/** `ok`, or the first header that must not be sent and why. */
export type HeadersVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly name: string; readonly reason: string };

const headersMax = 32;
const headerBytesMax = 4 * 1024;
const headersBytesMax = 16 * 1024;

/** RFC 9110, 5.6.2: `token`. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const printableAsciiPattern = /^[\x20-\x7e]*$/;

const reservedNames = new Set([
  // Framing and hop-by-hop (RFC 9110, 7.6.1): a forged length smuggles a second request onto the connection.
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // Who the request comes from: receivers behind a proxy believe these.
  "cookie",
  "forwarded",
  "via",
  "x-forwarded",
  "x-real-ip",
  // Cloud metadata services answer when they see one of these.
  "metadata",
  "metadata-flavor",
  "x-google-metadata-request",
  // The engine's own.
  "content-type",
  "traceparent",
  "tracestate",
  // Assigned to a plain object it would vanish instead of being sent.
  "__proto__",
]);

const reservedPrefixes = [
  "proxy-",
  "x-forwarded-",
  "x-aws-ec2-metadata-token",
  "x-aliyun-ecs-metadata-token",
  "webhook-",
  "ce-",
];

/** Whether a name, in any case, is one that tenants must not set. */
export const isReservedHeader = (name: string): boolean => {
  const lower = name.toLowerCase();
  return reservedNames.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix));
};

const refusal = (name: string, value: string): string | undefined => {
  if (!tokenPattern.test(name)) return "the name is not a token of RFC 9110";
  if (isReservedHeader(name)) return "the name is reserved";
  if (!printableAsciiPattern.test(value)) return "the value is not printable ASCII";
  if (name.length + value.length > headerBytesMax) return `it is longer than ${headerBytesMax} bytes`;
  return undefined;
};

/**
 * Whether custom headers may be sent: token names, printable ASCII values, none reserved and none twice, at most 32 of
 * them, at most 4 KiB each (name and value) and 16 KiB together.
 *
 * @param headers own enumerable properties count, so an object without prototype is welcome
 */
export const checkHeaders = (headers: Readonly<Record<string, string>>): HeadersVerdict => {
  const seen = new Set<string>();
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    const reason = refusal(name, value);
    if (reason !== undefined) return { ok: false, name, reason };
    const lower = name.toLowerCase();
    if (seen.has(lower)) return { ok: false, name, reason: "the name is given twice" };
    seen.add(lower);
    bytes += name.length + value.length;
    if (seen.size > headersMax)
      return {
        ok: false,
        name,
        reason: `there are more than ${headersMax} headers`,
      };
    if (bytes > headersBytesMax)
      return {
        ok: false,
        name,
        reason: `all headers exceed ${headersBytesMax} bytes`,
      };
  }
  return { ok: true };
};
