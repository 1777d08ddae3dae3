/**
 * A forwarder that clients do not get past: a broker tells them its own address, and they go on with that. Where it does,
 * they read the forwarder's instead.
 */
import { type Forwarder, startForwarder } from "../forwarder.ts";
import { readFrames } from "./broker.ts";
import { WireWriter } from "./wire.ts";

/** An address as answers have it, up to the versions of the protocol that kafkajs speaks. */
const placeOf = (host: string, port: number): Buffer => new WireWriter().string(host).int32(port).done();

const replaceAll = (bytes: Buffer, from: Buffer, to: Buffer): Buffer => {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, start)) {
    parts.push(bytes.subarray(start, at), to);
    start = at + from.length;
  }
  return Buffer.concat([...parts, bytes.subarray(start)]);
};

/** Starts a forwarder to a broker, by the address that it advertises. */
export const startKafkaForwarder = async (host: string, port: number): Promise<Forwarder> => {
  const advertised = placeOf(host, port);
  const forwarder = await startForwarder(port, {
    host,
    answers: (server, client) => {
      const ours = placeOf("127.0.0.1", forwarder.port);
      readFrames(server, (frame) => {
        client.write(new WireWriter().bytes(replaceAll(frame, advertised, ours)).done());
      });
    },
  });
  return forwarder;
};
