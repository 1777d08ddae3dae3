/**
 * A DNS server on the loopback address that answers what a test says (RFC 1035, UDP, IN only). Times to live are 0.
 *
 * await using dns = await startDns({ "hooks.test": { a: ["127.0.0.1"] } });
 * createDialler({ dnsServers: [dns.address], ... });
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv4 } from "node:net";

/** What a name answers; `silent` never does. A name that is not in the zone is NXDOMAIN. */
export type DnsRecords =
  | "nxdomain"
  | "refused"
  | "servfail"
  | "silent"
  | {
      /** Another name that the addresses belong to. */
      readonly cname?: string;
      readonly a?: readonly string[];
      /** Full form only: eight groups, or `::` in one place; a mapped address as `::ffff:7f00:1`. */
      readonly aaaa?: readonly string[];
    };

/** Names in lower case; a list is answered one entry per question and type, the last one for ever. */
export type DnsZone = Record<string, DnsRecords | readonly DnsRecords[]>;

export interface FakeDns extends AsyncDisposable {
  /** `127.0.0.1:port`, as `dnsServers` takes it. */
  readonly address: string;
  /** Every question so far, as `A hooks.test`. */
  readonly questions: readonly string[];
}

const codes = { ok: 0, servfail: 2, nxdomain: 3, refused: 5 } as const;
const types: Readonly<Record<number, string>> = { 1: "A", 28: "AAAA" };

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")])),
    Buffer.alloc(1),
  ]);

const readName = (message: Buffer): { readonly name: string; readonly end: number } => {
  const labels: string[] = [];
  let at = 12;
  while ((message[at] ?? 0) !== 0) {
    const length = message.readUInt8(at);
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 1 };
};

const encodeIpv6 = (address: string): Buffer => {
  const [head = "", tail] = address.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = groups(tail ?? "");
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
};

const encodeAddress = (address: string): Buffer =>
  isIPv4(address) ? Buffer.from(address.split(".").map(Number)) : encodeIpv6(address);

const encodeRecord = (name: string, type: number, data: Buffer): Buffer => {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(name), fixed, data]);
};

const encodeReply = (question: Buffer, end: number, code: number, records: readonly Buffer[]): Buffer => {
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, question.subarray(12, end + 4), ...records]);
};

const recordsFor = (name: string, type: number, records: Exclude<DnsRecords, string>): Buffer[] => {
  const owner = records.cname ?? name;
  const addresses = (type === 1 ? records.a : type === 28 ? records.aaaa : undefined) ?? [];
  return [
    ...(records.cname === undefined ? [] : [encodeRecord(name, 5, encodeName(records.cname))]),
    ...addresses.map((address) => encodeRecord(owner, type, encodeAddress(address))),
  ];
};

const respond = (message: Buffer, zone: DnsZone, questions: string[]): Buffer | undefined => {
  const { name, end } = readName(message);
  const type = message.readUInt16BE(end);
  const question = `${types[type] ?? type} ${name}`;
  questions.push(question);
  const turn = (): number => questions.filter((each) => each === question).length - 1;
  const entry = zone[name] ?? "nxdomain";
  const records = Array.isArray(entry) ? entry[Math.min(turn(), entry.length - 1)] : entry;
  if (records === "silent") return undefined;
  if (typeof records === "string") return encodeReply(message, end, codes[records as keyof typeof codes], []);
  return encodeReply(message, end, codes.ok, recordsFor(name, type, records));
};

/** Starts the server on a free port. The zone may be changed while it runs. */
export const startDns = async (zone: DnsZone): Promise<FakeDns> => {
  const questions: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (message, peer) => {
    const reply = respond(message, zone, questions);
    if (reply !== undefined) socket.send(reply, peer.port, peer.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await once(socket, "close");
    },
  };
};
