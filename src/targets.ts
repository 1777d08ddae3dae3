/**
 * What a URL or host name must look like before anything is asked of the network: the rules that need no DNS. They stop
 * mistakes early and keep internal names out of queries; the wall itself is the check of each address.
 */
import { isIP } from "node:net";
import { classifyAddress, isOpenedByOperator, type NetworkPolicy, unmapped } from "./addresses.ts";

/** Where a host leads: to an address that stands in it, or to a name for the resolver. */
export type Target =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "name"; readonly name: string };

/** A host, port or URL that must not be used, and why, in words for whoever wrote it. */
export interface Forbidden {
  readonly kind: "forbidden";
  readonly reason: string;
}

export const forbidden = (reason: string): Forbidden => ({ kind: "forbidden", reason });

/** What every refusal of an address tells the operator to do. */
export const remedy = "an operator can open networks with POSTRIDER_ALLOW_NETWORKS";

const urlLengthMax = 2_048;
const nameLengthMax = 253;
const defaultPorts: Readonly<Record<string, number>> = {
  "https:": 443,
  "http:": 80,
};

/** RFC 1123 labels, and `_`, which people do use. */
const namePattern = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** WHATWG URL, "ends in a number": `127.1` and `1.0x7f` are spellings of IPv4 addresses for some resolvers. */
const numberPattern = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;
/** Names of private networks (RFC 6761, 6762, 7686, 8375; ICANN's `.internal`). */
const privateSuffixPattern = /\.(?:local|internal|localhost|localdomain|home\.arpa|onion)$/;

/** What listens there speaks no HTTP that we want to reach: below 1024 all but 80 and 443, above it these. */
const refusedPorts = new Set([
  1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900, 5984, 6379, 9042, 9092, 9200, 9300,
  10_250, 11_211, 27_017,
]);

/** Whether a port belongs to another protocol, so that HTTP goes there only if the operator opened its network. */
export const isPortRefused = (port: number): boolean =>
  (port < 1024 && port !== 80 && port !== 443) || refusedPorts.has(port);

/**
 * Tells an address from a name, and refuses names of private networks and spellings of neither.
 *
 * @param host as in `URL.hostname`, or from a broker's answer: IPv6 with or without brackets, one trailing dot allowed
 */
export const readHost = (host: string): Target | Forbidden => {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (isIP(bare) !== 0) return { kind: "address", address: unmapped(bare) };
  const name = host.toLowerCase().replace(/\.$/, "");
  if (name.length > nameLengthMax || !namePattern.test(name)) return forbidden("the host is not a valid name");
  if (numberPattern.test(name)) return forbidden("the host is neither a name nor an IP address in its usual form");
  if (privateSuffixPattern.test(name)) return forbidden("the host is a name of a private network");
  if (!name.includes(".") && name !== "localhost") return forbidden("the host is a single word, not a public name");
  return { kind: "name", name };
};

/** `localhost` never goes to DNS: it is the loopback addresses (RFC 6761, 6.3) that the operator opened, or nothing. */
export const openedLoopback = (port: number, policy: NetworkPolicy): string[] =>
  ["127.0.0.1", "::1"].filter((address) => isOpenedByOperator(address, policy, port));

/**
 * Whether an address may be dialled on a port.
 *
 * @param http HTTP keeps off the ports of other protocols, unless the operator opened the network
 */
export const vetAddress = (
  address: string,
  port: number,
  http: boolean,
  policy: NetworkPolicy,
): Forbidden | undefined => {
  const verdict = classifyAddress(address, policy, port);
  if (!verdict.allowed) return forbidden(`${verdict.reason}; ${remedy}`);
  if (http && isPortRefused(port) && !isOpenedByOperator(address, policy, port)) {
    return forbidden(`port ${port} is not for HTTP; ${remedy}`);
  }
  return undefined;
};

const checkParts = (url: URL, protocols: readonly string[]): Forbidden | undefined => {
  if (url.href.length > urlLengthMax) return forbidden(`the URL is longer than ${urlLengthMax} characters`);
  if (!protocols.includes(url.protocol)) return forbidden(`the URL must start with ${protocols.join(" or ")}//`);
  if (url.username !== "" || url.password !== "") return forbidden("the URL must not hold a user name or password");
  if (url.href.includes("#")) return forbidden("the URL must not have a fragment (#)");
  return undefined;
};

const checkName = (name: string, port: number, http: boolean, policy: NetworkPolicy): Forbidden | undefined => {
  if (name === "localhost" && openedLoopback(port, policy).length === 0) {
    return forbidden(`the host is this machine; ${remedy}`);
  }
  // A name may lead into a network that the operator opened for this port: then its addresses decide.
  const mayBeOpened = policy.allowedNetworks.some((network) => (network.port ?? port) === port);
  return http && isPortRefused(port) && !mayBeOpened ? forbidden(`port ${port} is not for HTTP; ${remedy}`) : undefined;
};

/** The port that a URL leads to; 0 when neither it nor its protocol names one. */
export const portOf = (url: URL): number => (url.port === "" ? (defaultPorts[url.protocol] ?? 0) : Number(url.port));

/** Whether the rules for HTTP ports apply. */
export const isHttp = (protocol: string): boolean => protocol in defaultPorts;

/** `https:`, and `http:` where the operator allows it. */
export const webProtocols = (policy: NetworkPolicy): readonly string[] =>
  policy.allowHttp ? ["https:", "http:"] : ["https:"];

/**
 * The rules for a URL that need no network.
 *
 * @param protocols with their colon; default `https:`, and `http:` where the operator allows it
 */
export const checkUrl = (
  url: URL,
  policy: NetworkPolicy,
  protocols: readonly string[] = webProtocols(policy),
): Target | Forbidden => {
  const refused = checkParts(url, protocols);
  if (refused !== undefined) return refused;
  const target = readHost(url.hostname);
  if (target.kind === "forbidden") return target;
  const http = isHttp(url.protocol);
  const port = portOf(url);
  const reason =
    target.kind === "address"
      ? vetAddress(target.address, port, http, policy)
      : checkName(target.name, port, http, policy);
  return reason ?? target;
};
