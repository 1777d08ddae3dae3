/**
 * The SDK's client for the API itself, kept to the way out. It dials, looks for credentials and retries on its own, so it
 * is told an address that the guarded dialler vetted, and given what it would look for.
 */
import { createRequire } from "node:module";
import { isIP, isIPv6 } from "node:net";
import { createSecureContext } from "node:tls";
import type { v1 } from "@google-cloud/pubsub";
import type { ChannelCredentials, Client as GrpcClient } from "@grpc/grpc-js";
import { abortable } from "../dial.ts";
import { abortError } from "../dial-error.ts";
import { userAgent } from "./http-message.ts";

/** A client of the SDK whose connection stood once. */
export interface Line {
  readonly client: v1.PublisherClient;
  readonly stub: GrpcClient;
  /** Aborts when its sockets must go. */
  readonly life: AbortController;
  /** How many calls it carries. */
  calls: number;
  /** Takes no more calls: broken, or a call on it was given up. */
  retired: boolean;
}

const addressesTriedMax = 4;
const answerBytesMax = 4 * 1024 * 1024;
/** `connectivityState` of gRPC. */
const channelState = { ready: 2, transientFailure: 3, shutdown: 4 };
/** Google's name for itself. Told, the SDK asks neither the environment nor the metadata server. */
const universeDomain = "googleapis.com";

/** The SDK, and the gRPC that it uses, which it does not pass on. */
const loadSdk = async () => {
  const { v1 } = await import("@google-cloud/pubsub");
  const gax = createRequire(import.meta.resolve("@google-cloud/pubsub"))("google-gax") as GaxModule;
  return { PublisherClient: v1.PublisherClient, gax, credentials: gax.grpc.credentials };
};
type GaxModule = NonNullable<ConstructorParameters<typeof v1.PublisherClient>[1]> & {
  readonly grpc: typeof import("@grpc/grpc-js");
};

/** Targets for gRPC's own resolver of addresses, one for each family; it tries the addresses of a target itself. */
export const targetsOf = (addresses: readonly string[], port: number): readonly string[] => {
  const tried = addresses.slice(0, addressesTriedMax);
  // The SDK puts the port behind the last one.
  const target = (scheme: string, hosts: readonly string[]): readonly string[] =>
    hosts.length === 0 ? [] : [`${scheme}:${hosts.join(`:${port},`)}`];
  return [
    ...target(
      "ipv4",
      tried.filter((address) => !isIPv6(address)),
    ),
    ...target(
      "ipv6",
      tried.filter(isIPv6).map((address) => `[${address}]`),
    ),
  ];
};

/** Ties the sockets of a channel to a life: gRPC forgets those that are still shaking hands when it is closed. */
const tieSockets = (credentials: ChannelCredentials, { signal }: AbortController): ChannelCredentials => {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...target) => {
    const connector = create(...target);
    const secure = connector.connect.bind(connector);
    connector.connect = (socket) => {
      const destroy = (): void => void socket.destroy();
      signal.addEventListener("abort", destroy);
      socket.once("close", () => signal.removeEventListener("abort", destroy));
      return signal.aborted ? Promise.reject(abortError(signal)) : secure(socket);
    };
    return connector;
  };
  return credentials;
};

/** Frees the sockets. What is in flight breaks off. */
export const closeLine = ({ stub, life }: Line): void => {
  stub.close();
  life.abort();
};

/** Whether the connection stands. */
export const isReady = ({ stub }: Line): boolean =>
  stub.getChannel().getConnectivityState(false) === channelState.ready;

/** Resolves with whether the connection stands. Closes the line unless it does. */
export const connectLine = async (line: Line, signal: AbortSignal): Promise<boolean> => {
  const channel = line.stub.getChannel();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const look = (): void => {
    const state = channel.getConnectivityState(true);
    if (state === channelState.ready) resolve(true);
    else if (state === channelState.transientFailure || state === channelState.shutdown) resolve(false);
    else channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
  };
  look();
  let connected = false;
  try {
    connected = await abortable(promise, signal);
  } finally {
    if (!connected) closeLine(line);
  }
  return connected;
};

/**
 * Makes a line that does not connect yet.
 * @param target what `targetsOf` gave
 */
export const createLine = async (endpoint: URL, target: string, port: number): Promise<Line> => {
  const { PublisherClient, gax, credentials } = await loadSdk();
  const { protocol, hostname, host } = endpoint;
  const name = hostname.replace(/^\[|\]$/g, "");
  const life = new AbortController();
  const plain: ChannelCredentials =
    protocol === "https:"
      ? credentials.createFromSecureContext(createSecureContext({ minVersion: "TLSv1.2" }), {
          rejectUnauthorized: true,
        })
      : credentials.createInsecure();
  const client = new PublisherClient(
    {
      servicePath: target,
      port,
      sslCreds: tieSockets(plain, life),
      universeDomain,
      // Not used beside `sslCreds`; without them an environment variable may run a command that makes some.
      cert: "none",
      key: "none",
      fallback: false,
      "grpc.default_authority": host,
      // Node warns of an address here. With the dot it is a name, and still compared as an address.
      "grpc.ssl_target_name_override": isIP(name) === 0 ? name : `${name}.`,
      "grpc.primary_user_agent": userAgent,
      "grpc.max_receive_message_length": answerBytesMax,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_retries": 0,
      "grpc.enable_channelz": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.use_local_subchannel_pool": 1,
    },
    gax,
  );
  const stub = (await client.initialize()) as unknown as GrpcClient;
  return { client, stub, life, calls: 0, retired: false };
};
