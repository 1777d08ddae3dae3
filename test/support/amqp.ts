/**
 * A scripted AMQP 0-9-1 server for what a real broker does not do on demand: `await using server = await startAmqp({...})`.
 * It lets everyone in and routes nothing; what becomes of a message is the script's.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import {
  closeArguments,
  createFrameReader,
  type Frame,
  frameTypes,
  longString,
  methodFrame,
  methods,
  protocolHeader,
  shortString,
  table,
  uint,
} from "./amqp_codec.ts";
import { Arrivals } from "./arrivals.ts";

/** A client that has connected. */
export interface AmqpPeer {
  readonly socket: Socket;
  readonly send: (channel: number, method: number, ...args: readonly Buffer[]) => void;
  readonly ack: (tag: number, multiple?: boolean) => void;
  readonly closeChannel: (code: number) => void;
  readonly closeConnection: (code: number) => void;
}

export interface AmqpScript {
  /** Replaces the greeting of the server. */
  readonly greet?: (peer: AmqpPeer) => void;
  /** Replaces the answer to the password. */
  readonly login?: (peer: AmqpPeer) => void;
  /** Replaces the answer to the wish for a virtual host. */
  readonly enter?: (peer: AmqpPeer) => void;
  /** What becomes of a message; default: it is acked. */
  readonly publish?: (peer: AmqpPeer, tag: number) => void;
  /** Default: PLAIN. */
  readonly mechanisms?: string;
  /** Octets of a frame; default 131072. */
  readonly frameBytesMax?: number;
  /** Seconds; default 60. */
  readonly heartbeat?: number;
}

export interface AmqpServer extends AsyncDisposable {
  readonly port: number;
  readonly peers: readonly AmqpPeer[];
  /** The tags of all messages, on their channels. */
  readonly published: Arrivals<number>;
}

const peerOf = (socket: Socket): AmqpPeer => {
  const send: AmqpPeer["send"] = (channel, method, ...args) =>
    void (socket.writable && socket.write(methodFrame(channel, method, ...args)));
  return {
    socket,
    send,
    ack: (tag, multiple = false) => send(1, methods.basicAck, uint(tag, 8), uint(Number(multiple), 1)),
    closeChannel: (code) => send(1, methods.channelClose, closeArguments(code, "as the script says")),
    closeConnection: (code) => send(0, methods.connectionClose, closeArguments(code, "as the script says")),
  };
};

const greeting = (mechanisms: string) => [
  uint(0, 1),
  uint(9, 1),
  table({}),
  longString(mechanisms),
  longString("en_US"),
];

/** Answers the frames of one client. */
const createConversation = (peer: AmqpPeer, script: AmqpScript, published: Arrivals<number>) => {
  const tune = [uint(2_047, 2), uint(script.frameBytesMax ?? 131_072, 4), uint(script.heartbeat ?? 60, 2)];
  let tag = 0;
  let bytesLeft = 0;
  const onMessage = (): void => {
    tag += 1;
    published.add(tag);
    if (script.publish === undefined) peer.ack(tag);
    else script.publish(peer, tag);
  };
  const answers: Readonly<Record<number, () => void>> = {
    [methods.connectionStartOk]: () =>
      script.login === undefined ? peer.send(0, methods.connectionTune, ...tune) : script.login(peer),
    [methods.connectionOpen]: () =>
      script.enter === undefined ? peer.send(0, methods.connectionOpenOk, shortString("")) : script.enter(peer),
    [methods.channelOpen]: () => {
      tag = 0;
      peer.send(1, methods.channelOpenOk, longString(""));
    },
    [methods.confirmSelect]: () => peer.send(1, methods.confirmSelectOk),
    [methods.connectionClose]: () => peer.send(0, methods.connectionCloseOk),
  };
  return ({ type, payload }: Frame): void => {
    if (type === frameTypes.method) answers[payload.readUInt32BE(0)]?.();
    else if (type === frameTypes.header) bytesLeft = Number(payload.readBigUInt64BE(4));
    else if (type === frameTypes.body) bytesLeft -= payload.length;
    if ((type === frameTypes.header || type === frameTypes.body) && bytesLeft === 0) onMessage();
  };
};

export const startAmqp = async (script: AmqpScript = {}): Promise<AmqpServer> => {
  const peers: AmqpPeer[] = [];
  const published = new Arrivals<number>();
  const server = createServer((socket) => {
    const peer = peerOf(socket);
    peers.push(peer);
    const read = createFrameReader(script.frameBytesMax ?? 131_072);
    const converse = createConversation(peer, script, published);
    let isGreeted = false;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      const frames = read(isGreeted ? chunk : chunk.subarray(protocolHeader.length));
      if (!isGreeted && script.greet !== undefined) script.greet(peer);
      else if (!isGreeted) peer.send(0, methods.connectionStart, ...greeting(script.mechanisms ?? "AMQPLAIN PLAIN"));
      isGreeted = true;
      frames.forEach(converse);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    peers,
    published,
    [Symbol.asyncDispose]: async () => {
      for (const { socket } of peers) socket.destroy();
      published.close();
      server.close();
      await once(server, "close");
    },
  };
};
