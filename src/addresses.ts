/**
 * Which network addresses a tenant's words may aim at: default deny, decided on bits and never on spelling.
 *
 * IPv4 refuses every block of the IANA special-purpose registry (RFC 6890), multicast, class E and Azure's wire server.
 * IPv6 allows only global unicast (2000::/3) minus its special blocks, because a list of denials leaks: mapped,
 * compatible, ISATAP and unassigned space all look like unicast to the usual classifiers.
 */
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** A network that the operator opens, all its ports or a single one. Comes from the environment, never from a tenant. */
export interface AllowedNetwork {
  /** As the operator wrote it. */
  readonly text: string;
  readonly range: Range;
  /** Absent: every port. */
  readonly port?: number;
}

/** What the operator allows beyond `https:` to public addresses. */
export interface NetworkPolicy {
  readonly allowHttp: boolean;
  readonly allowedNetworks: readonly AllowedNetwork[];
}

/** `allowed`, or why not, in words that name no address. */
export type AddressVerdict = { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

const range = (cidr: string): Range => ipaddr.parseCIDR(cidr);
const inside = (address: Address, [network, bits]: Range): boolean =>
  address.kind() === network.kind() && address.match(network, bits);

/** IANA IPv4 Special-Purpose Address Registry, RFC 1112 (multicast, class E), and 168.63.129.16 (Azure). */
const ipv4Refused = [
  ["0.0.0.0/8", "this network"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "carrier-grade NAT"],
  ["127.0.0.0/8", "loopback"],
  ["168.63.129.16/32", "cloud metadata"],
  ["169.254.0.0/16", "link-local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "special-purpose"],
  ["192.0.2.0/24", "documentation"],
  ["192.31.196.0/24", "special-purpose"],
  ["192.52.193.0/24", "special-purpose"],
  ["192.88.99.0/24", "special-purpose"],
  ["192.168.0.0/16", "private"],
  ["192.175.48.0/24", "special-purpose"],
  ["198.18.0.0/15", "benchmarking"],
  ["198.51.100.0/24", "documentation"],
  ["203.0.113.0/24", "documentation"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
].map(([cidr = "", name = ""]) => ({ range: range(cidr), name }));

const ipv6GlobalUnicast = range("2000::/3");
const ipv6Nat64 = range("64:ff9b::/96");

/** Blocks of 2000::/3 that are not the public internet (IANA IPv6 Special-Purpose Address Registry). */
const ipv6Refused = [
  ["2001::/23", "a protocol assignment (Teredo, ORCHID and others)"],
  ["2001:db8::/32", "documentation"],
  ["2002::/16", "6to4"],
  ["3fff::/20", "documentation"],
].map(([cidr = "", name = ""]) => ({ range: range(cidr), name }));

const allowed: AddressVerdict = Object.freeze({ allowed: true });
const refused = (kind: string): AddressVerdict => ({ allowed: false, reason: `the address is ${kind}` });

const classifyIpv4 = (address: ipaddr.IPv4): AddressVerdict => {
  const hit = ipv4Refused.find((block) => inside(address, block.range));
  return hit === undefined ? allowed : refused(hit.name);
};

const classifyIpv6 = (address: ipaddr.IPv6): AddressVerdict => {
  // NAT64 (RFC 6052) carries the packet on to the IPv4 address in the last 32 bits, so that address decides.
  if (inside(address, ipv6Nat64)) return classifyIpv4(new ipaddr.IPv4(address.toByteArray().slice(12)));
  if (!inside(address, ipv6GlobalUnicast)) return refused("outside global unicast");
  const hit = ipv6Refused.find((block) => inside(address, block.range));
  return hit === undefined ? allowed : refused(hit.name);
};

/** Strict: four decimal parts or RFC 4291 text. ipaddr.js alone would also read `0x7f.1` and `127.1`. */
const parseStrictly = (address: string): Address | undefined => {
  if (isIPv4(address)) return ipaddr.IPv4.parse(address);
  // A zone (`fe80::1%eth0`) picks an interface of this machine.
  if (isIPv6(address) && !address.includes("%")) return ipaddr.IPv6.parse(address);
  return undefined;
};

/** Whether the operator opened a network with this address, and this port of it. */
const opened = (address: Address, networks: readonly AllowedNetwork[], port: number | undefined): boolean =>
  networks.some((network) => (network.port ?? port) === port && inside(address, network.range));

/**
 * Whether a socket may be opened to an address.
 *
 * `::ffff:a.b.c.d` is refused unless the operator opened `a.b.c.d`: what comes from a socket, a lookup or a URL is to be
 * passed through {@link unmapped} first, and is then judged as the IPv4 address that it is.
 *
 * @param address IPv4 in four decimal parts, or IPv6 without brackets and zone; anything else is refused
 * @param policy only `allowedNetworks` counts here
 * @param port a network opened for one port allows only that one; without it, only networks open on all ports count
 */
export const classifyAddress = (address: string, policy: NetworkPolicy, port?: number): AddressVerdict => {
  const parsed = parseStrictly(address);
  if (parsed === undefined) return refused("not an IP address");
  if (parsed instanceof ipaddr.IPv4) {
    return opened(parsed, policy.allowedNetworks, port) ? allowed : classifyIpv4(parsed);
  }
  const embedded = parsed.isIPv4MappedAddress() ? parsed.toIPv4Address() : parsed;
  return opened(embedded, policy.allowedNetworks, port) ? allowed : classifyIpv6(parsed);
};

/** Whether one of the operator's networks covers the address and port: such a place may be reached on any port number. */
export const isOpenedByOperator = (address: string, policy: NetworkPolicy, port: number): boolean => {
  const parsed = parseStrictly(address);
  return parsed !== undefined && opened(parsed, policy.allowedNetworks, port);
};

/**
 * The IPv4 address inside `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), every other address as it is. Dual-stack sockets report
 * IPv4 peers in the mapped form, DNS can answer with it, and the kernel dials the IPv4 address for it.
 */
export const unmapped = (address: string): string => {
  const parsed = parseStrictly(address);
  return parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : address;
};

/** `10.0.0.0/8`, `10.1.2.3/32:9000`, `fd00::/8`, `[::1]/128:8080`. */
const networkPattern = /^(?:\[(?<bracketed>[^\]]+)\]|(?<bare>[^/[\]]+))\/(?<bits>\d{1,3})(?::(?<port>\d{1,5}))?$/;

const parseNetwork = (text: string): AllowedNetwork => {
  const fail = (why: string): never => {
    throw new Error(`"${text}" ${why}`);
  };
  const { bracketed, bare, bits = "", port } = networkPattern.exec(text)?.groups ?? {};
  const address = parseStrictly(bracketed ?? bare ?? "");
  if (address === undefined) return fail("is not a network such as 10.0.0.0/8, 10.1.2.3/32:9000 or [fd00::]/8:8080");
  if (Number(bits) > address.toByteArray().length * 8) return fail("has a prefix longer than its address");
  const first = address.kind() === "ipv4" ? ipaddr.IPv4 : ipaddr.IPv6;
  const start = first.networkAddressFromCIDR(`${address}/${bits}`).toString();
  if (start !== address.toString()) return fail(`has bits set behind its prefix; did you mean ${start}/${bits}?`);
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()) return fail("is mapped; write the IPv4 network");
  if (port === undefined) return { text, range: [address, Number(bits)] };
  if (Number(port) < 1 || Number(port) > 65_535) return fail("has a port that is not between 1 and 65535");
  return { text, range: [address, Number(bits)], port: Number(port) };
};

/**
 * Reads the operator's list of opened networks.
 *
 * @param text CIDRs, each with an optional port, separated by commas or white space; empty opens nothing
 * @throws Error that quotes the entry and says what is wrong with it
 */
export const parseAllowedNetworks = (text: string): AllowedNetwork[] =>
  text
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .map(parseNetwork);
