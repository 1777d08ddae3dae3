/** Addresses that must never be reached, in all the ways in which people have written them to get past a guard. */

const octets = (address: string): number[] => address.split(".").map(Number);
const group = (high = 0, low = 0): string => ((high << 8) | low).toString(16);
const hex = (value: number): string => value.toString(16).padStart(2, "0");

/** One or more addresses of each IPv4 block that is not the public internet, first and last ones among them. */
export const forbiddenIpv4 = [
  "0.0.0.0", "0.0.0.1", "0.255.255.255", // this network
  "10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.0", "172.17.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
  "100.64.0.0", "100.100.100.200", "100.127.255.255", // carrier-grade NAT; Alibaba and Tencent metadata
  "127.0.0.0", "127.0.0.1", "127.0.0.53", "127.127.127.127", "127.255.255.255",
  "169.254.0.0", "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", "169.254.169.123",
  "169.254.42.42", "169.254.0.23", "169.254.255.255", // AWS, GCP, Azure, DigitalOcean, ECS, EKS, NTP, Scaleway, Tencent
  "168.63.129.16", // Azure's wire server
  "192.0.0.0", "192.0.0.192", "192.0.0.170", "192.0.0.255", // Oracle metadata, NAT64 discovery
  "192.0.2.0", "192.0.2.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255",
  "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.255", "192.175.48.1",
  "198.18.0.0", "198.18.0.1", "198.19.255.255",
  "224.0.0.0", "224.0.0.1", "239.255.255.255", "240.0.0.0", "240.0.0.1", "255.255.255.254", "255.255.255.255",
]; // biome-ignore format: a table

/** The addresses next to each forbidden block: a guard that is too wide loses deliveries. */
export const publicIpv4 = [
  "1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0",
  "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255",
  "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.31.195.255", "192.31.197.0",
  "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0",
  "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0",
  "203.0.112.255", "203.0.114.0", "223.255.255.255",
]; // biome-ignore format: a table

export const forbiddenIpv6 = [
  "::", "::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "::2", "::ffff", "1::1", "100::1",
  "100:0:0:1::1", // discard-only and dummy prefixes
  "64:ff9b:1::1", "64:ff9b:1::7f00:1", "64:ff9b:0:1::1", "64:ff9a::1", "64:ff9c::1", // local NAT64 and neighbours
  "200::1", "400::1", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::1", "5f00::1", "8000::1", "e000::1",
  "2001::", "2001::1", "2001:0:7f00:1::", "2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:30::1",
  "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
  "2002::", "2002:7f00:1::", "2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  "3fff::", "3fff::1", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
  "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", // ULA; AWS, GCP
  "fe00::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1",
]; // biome-ignore format: a table

export const publicIpv6 = [
  "2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::1", "2003::1",
  "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2400:cb00::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1",
  "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::1", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  "64:ff9b::808:808", "64:ff9b::101:101",
]; // biome-ignore format: a table

/** An IPv4 address inside an IPv6 one: mapped, compatible, SIIT, NAT64, local NAT64, 6to4, Teredo, ISATAP. */
export const embedded = (address: string): string[] => {
  const [a, b, c, d] = octets(address);
  const [high, low] = [group(a, b), group(c, d)];
  const flipped = [a, b, c, d].map((octet = 0) => octet ^ 0xff);
  return [
    `::ffff:${address}`,
    `::ffff:${high}:${low}`,
    `0:0:0:0:0:ffff:${high}:${low}`,
    `::${address}`,
    `::ffff:0:${high}:${low}`,
    `64:ff9b::${high}:${low}`,
    `64:ff9b::${address}`,
    `64:ff9b:1::${high}:${low}`,
    `2002:${high}:${low}::1`,
    `2001:0:${high}:${low}:0:0:${group(flipped[0], flipped[1])}:${group(flipped[2], flipped[3])}`,
    `fe80::5efe:${high}:${low}`,
    `fe80::200:5efe:${address}`,
  ];
};

const numberShapes = (address: string): string[] => {
  const [a = 0, b = 0, c = 0, d = 0] = octets(address);
  const value = ((a * 256 + b) * 256 + c) * 256 + d;
  const rest = (b * 256 + c) * 256 + d;
  return [
    address,
    `${value}`,
    `0x${value.toString(16)}`,
    `0X${value.toString(16).toUpperCase()}`,
    `0${value.toString(8)}`,
    `000000${value.toString(8)}`,
    [a, b, c, d].map((octet) => `0x${hex(octet)}`).join("."),
    [a, b, c, d].map((octet) => `0x0000${hex(octet)}`).join("."),
    [a, b, c, d].map((octet) => `0${octet.toString(8)}`).join("."),
    [a, b, c, d].map((octet) => octet.toString(8).padStart(8, "0")).join("."),
    `${a}.${rest}`,
    `${a}.${b}.${c * 256 + d}`,
    `0x${hex(a)}.${rest}`,
    `0x${hex(a)}.0${b.toString(8)}.${c * 256 + d}`,
  ];
};

const fullWidth = (address: string): string =>
  address.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
const circledDigits = ["⓪", "①", "②", "③", "④", "⑤", "⑥", "⑦", "⑧", "⑨"];
const circled = (address: string): string => address.replace(/\d/g, (digit) => circledDigits[Number(digit)] ?? digit);
const mathematical = (address: string): string =>
  address.replace(/\d/g, (digit) => String.fromCodePoint(0x1d7d8 + Number(digit)));
const percent = (address: string): string =>
  [...address].map((character) => `%${hex(character.charCodeAt(0))}`).join("");

const textShapes = (address: string): string[] => [
  fullWidth(address),
  circled(address),
  mathematical(address),
  percent(address),
  address.replaceAll(".", "%2e"),
  address.replaceAll(".", "。"),
  address.replaceAll(".", "．"),
  address.replaceAll(".", "｡"),
  `${address}.`,
  `${address.slice(0, 2)}\t${address.slice(2)}`,
  `${address.slice(0, 2)}\n${address.slice(2)}`,
  `${address.slice(0, 2)}\u00ad${address.slice(2)}`,
  `${address.slice(0, 2)}\u200b${address.slice(2)}`,
  `${address.slice(0, 2)}\u2060${address.slice(2)}`,
];

/** Shapes of a whole URL around a host: what stands before and behind it must not change where it leads. */
const urlShapes = (host: string, port: number): string[] => [
  `http:${host}:${port}`,
  `http:/${host}:${port}/`,
  `http:\\\\${host}:${port}\\`,
  `  http://${host}:${port}/`,
  `ht\ntp://${host}:${port}/`,
  `HTTP://${host}:${port}/`,
  `http://user@${host}:${port}/`,
  `http://user:password@${host}:${port}/`,
  `http://example.com@${host}:${port}/`,
  `http://1.1.1.1%40@${host}:${port}/`,
  `http://example.com\t@${host}:${port}/`,
  `http://${host}:${port}\\@example.com/`,
  `http://${host}:${port}/#@example.com`,
  `http://${host}:${port}?@example.com`,
  `http://${host}:0${port}/`,
];

/** Every forbidden URL: each address in each shape of number and text, each in IPv6, a few hosts in each shape of URL. */
export const forbiddenUrls = (port: number): string[] => {
  const hosts = forbiddenIpv4.flatMap((address) => [...numberShapes(address), ...textShapes(address)]);
  const ipv6 = [
    ...forbiddenIpv6,
    ...forbiddenIpv4.flatMap(embedded),
    "fe80::1%25lo",
    "fe80::1%lo",
    "::1%25lo",
    "::1%lo",
  ];
  const shaped = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:7f00:1]"];
  return [
    ...hosts.map((host) => `http://${host}:${port}/`),
    ...ipv6.map((address) => `http://[${address}]:${port}/`),
    ...shaped.flatMap((host) => urlShapes(host, port)),
    ...["0", "00", "0x", "127.1", "127.0.1", "0177.1", "localhost", "LOCALHOST", "localhost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"].map(
      (host) => `http://${host}:${port}/`,
    ),
  ];
};

/** Names that lead into private networks, whatever DNS says of them. */
export const forbiddenNames = [
  "localhost", "localhost.", "LocalHost", "app.localhost", "localhost.localdomain", "printer.local", "printer.LOCAL.",
  "metadata.google.internal", "instance-data.ec2.internal", "kubernetes", "kubernetes.default.svc.cluster.local",
  "router.home.arpa", "abc.onion", "postgres", "router", "metadata", "host.docker.internal", "a..b.com", ".example.com",
  "-a.example.com", "exa mple.com", "example.com..", `${"a".repeat(64)}.com`, `${"abcdefg.".repeat(32)}com`,
]; // biome-ignore format: a table
