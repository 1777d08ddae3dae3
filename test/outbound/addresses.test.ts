import { strict as assert } from "node:assert";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { classifyAddress, type NetworkPolicy, parseAllowedNetworks, unmapped } from "../../src/addresses.ts";
import { embedded, forbiddenIpv4, forbiddenIpv6, publicIpv4, publicIpv6 } from "./spellings.ts";

const closed: NetworkPolicy = { allowHttp: false, allowedNetworks: [] };
const opening = (networks: string): NetworkPolicy => ({
  allowHttp: false,
  allowedNetworks: parseAllowedNetworks(networks),
});
const isAllowed = (address: string, policy = closed, port?: number): boolean =>
  classifyAddress(address, policy, port).allowed;

const formatIpv4 = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
const formatIpv6 = (value: bigint): string =>
  Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16)).join(":");

/** The registry once more, as first and last address, in Node's own list. */
const oracle4 = new BlockList();
for (const [first, last] of [
  ["0.0.0.0", "0.255.255.255"], ["10.0.0.0", "10.255.255.255"], ["100.64.0.0", "100.127.255.255"],
  ["127.0.0.0", "127.255.255.255"], ["168.63.129.16", "168.63.129.16"], ["169.254.0.0", "169.254.255.255"],
  ["172.16.0.0", "172.31.255.255"], ["192.0.0.0", "192.0.0.255"], ["192.0.2.0", "192.0.2.255"],
  ["192.31.196.0", "192.31.196.255"], ["192.52.193.0", "192.52.193.255"], ["192.88.99.0", "192.88.99.255"],
  ["192.168.0.0", "192.168.255.255"], ["192.175.48.0", "192.175.48.255"], ["198.18.0.0", "198.19.255.255"],
  ["198.51.100.0", "198.51.100.255"], ["203.0.113.0", "203.0.113.255"], ["224.0.0.0", "255.255.255.255"],
] as const) oracle4.addRange(first, last); // biome-ignore format: a table

const oracleAllows4 = (value: number): boolean => !oracle4.check(formatIpv4(value));

/** The same rule as arithmetic on 128 bits. */
const oracleAllows6 = (value: bigint): boolean => {
  const top = (bits: bigint): bigint => value >> (128n - bits);
  if (top(96n) === 0x64_ff9b_0000_0000_0000_0000n) return oracleAllows4(Number(value & 0xffff_ffffn));
  if (top(3n) !== 1n) return false;
  return top(23n) !== 0x2001n << 7n && top(32n) !== 0x2001_0db8n && top(16n) !== 0x2002n && top(20n) !== 0x3fff0n;
};

/** Any address, and often one at the edge of a block. */
const ipv4 = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc
    .tuple(fc.constantFrom(...forbiddenIpv4, ...publicIpv4), fc.integer({ min: -2, max: 2 }))
    .map(([near, by]) => (near.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0) + by) >>> 0),
);
const ipv6Prefixes = [
  "0",
  "64ff9b",
  "64ff9b0001",
  "2000",
  "2001",
  "200101ff",
  "20010200",
  "20010db8",
  "2002",
  "3fff",
  "3fff1",
  "fe80",
  "ff02",
];
const ipv6 = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
  fc
    .tuple(
      fc.constantFrom(...ipv6Prefixes.map((text) => text.padStart(text.startsWith("64") ? text.length + 2 : 4, "0"))),
      fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
    )
    .map(
      ([prefix, rest]) =>
        (BigInt(`0x${prefix}`) << BigInt(128 - prefix.length * 4)) | (rest >> BigInt(prefix.length * 4)),
    ),
  ipv4.map((value) => (0x64ff9bn << 96n) | BigInt(value >>> 0)),
);

test("every IPv4 address is judged as the registry says", () => {
  fc.assert(
    fc.property(ipv4, (value) => isAllowed(formatIpv4(value)) === oracleAllows4(value)),
    { numRuns: 20_000 },
  );
});

test("every IPv6 address is judged as the registry says", () => {
  fc.assert(
    fc.property(ipv6, (value) => isAllowed(formatIpv6(value)) === oracleAllows6(value)),
    { numRuns: 20_000 },
  );
});

test("a mapped address is never allowed unless the operator opened the IPv4 address in it", () => {
  fc.assert(
    fc.property(ipv4, (value) => !isAllowed(`::ffff:${formatIpv4(value)}`)),
    { numRuns: 2_000 },
  );
  assert.equal(isAllowed("::ffff:10.1.2.3", opening("10.1.2.3/32")), true);
  assert.equal(isAllowed("::ffff:10.1.2.4", opening("10.1.2.3/32")), false);
});

test("what a socket reports as mapped is judged as IPv4", () => {
  fc.assert(fc.property(ipv4, (value) => unmapped(`::ffff:${formatIpv4(value)}`) === formatIpv4(value)));
  for (const address of [...publicIpv4, ...publicIpv6, ...forbiddenIpv6]) assert.equal(unmapped(address), address);
});

test("the tables of addresses are judged as they are named", () => {
  for (const address of [...forbiddenIpv4, ...forbiddenIpv6]) assert.equal(isAllowed(address), false, address);
  for (const address of [...publicIpv4, ...publicIpv6]) assert.equal(isAllowed(address), true, address);
  for (const address of forbiddenIpv4.flatMap(embedded)) assert.equal(isAllowed(address), false, address);
});

test("what is not an address in its usual form is refused", () => {
  const others = [
    "",
    " ",
    "1.1.1",
    "1.1.1.1 ",
    " 1.1.1.1",
    "1.1.1.1.",
    "01.1.1.1",
    "0x1.1.1.1",
    "16843009",
    "1.1.1.256",
    "[2606::1]",
  ];
  for (const text of [
    ...others,
    "2606::1%eth0",
    "2606::1::1",
    "example.com",
    "2606:4700::1111/64",
    "1.1.1.1:80",
    "１.1.1.1",
  ]) {
    assert.equal(isAllowed(text), false, text);
  }
});

test("a network that the operator opens is open on its port, or on all when it names none", () => {
  const policy = opening("127.0.0.0/8, [::1]/128:8080\n10.1.2.3/32:9000 fd00::/8");
  assert.equal(isAllowed("127.0.0.1", policy, 5432), true);
  assert.equal(isAllowed("127.0.0.1", policy), true);
  assert.equal(isAllowed("128.0.0.1", opening("127.0.0.0/8"), 1), true);
  assert.equal(isAllowed("::1", policy, 8080), true);
  assert.equal(isAllowed("::1", policy, 8081), false);
  assert.equal(isAllowed("::1", policy), false);
  assert.equal(isAllowed("10.1.2.3", policy, 9000), true);
  assert.equal(isAllowed("10.1.2.4", policy, 9000), false);
  assert.equal(isAllowed("fdab::1", policy, 443), true);
  assert.equal(isAllowed("fe80::1", policy, 443), false);
  assert.equal(isAllowed("169.254.169.254", policy, 80), false);
});

test("opening an IPv4 network does not open it behind a NAT64 gateway", () => {
  assert.equal(isAllowed("64:ff9b::10.0.0.1", opening("10.0.0.0/8")), false);
});

test("a reason names no address", () => {
  for (const address of [...forbiddenIpv4, ...forbiddenIpv6]) {
    const verdict = classifyAddress(address, closed);
    assert.ok(!verdict.allowed && !/\d|::/.test(verdict.reason.replace("6to4", "").replace("IP", "")), address);
  }
});

test("an empty list opens nothing", () => {
  assert.deepEqual(parseAllowedNetworks(" ,\n"), []);
});

test("a mistake in the list of networks is told with the entry and the remedy", () => {
  const mistakes: [string, RegExp][] = [
    ["10.0.0.1", /"10\.0\.0\.1" is not a network such as/],
    ["example.com/8", /"example\.com\/8" is not a network/],
    ["10.0.0.0/33", /prefix longer than its address/],
    ["fd00::/129", /prefix longer than its address/],
    ["10.1.2.3/8", /did you mean 10\.0\.0\.0\/8\?/],
    ["fd00::1/8", /did you mean fd00::\/8\?/],
    ["::ffff:10.0.0.0/104", /write the IPv4 network/],
    ["10.0.0.0/8:0", /port that is not between 1 and 65535/],
    ["10.0.0.0/8:65536", /port that is not between 1 and 65535/],
    ["010.0.0.0/8", /is not a network/],
    ["fe80::%eth0/10", /is not a network/],
    ["[10.0.0.0/8", /is not a network/],
    ["10.0.0.0/8/8", /is not a network/],
  ];
  for (const [text, message] of mistakes)
    assert.throws(() => parseAllowedNetworks(`127.0.0.0/8,${text}`), message, text);
});
