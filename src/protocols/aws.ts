/**
 * What the types of Amazon's cloud share: their config fields and secrets, credentials, and an SDK that reaches the world
 * through our dialler only and reads neither the environment nor profiles nor a metadata service.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { ConnectContext } from "../destination.ts";
import { abortError, DialError } from "../dial-error.ts";
import type { Dialler, HttpPool } from "../outbound.ts";
import { dead } from "../outcome.ts";
import { outcomeOfStsError, RefusedError } from "./aws-answer.ts";

/** Config fields of every such type. */
export const awsFields = {
  region: z
    .string()
    .max(32)
    .regex(/^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$/)
    .optional()
    .meta({ title: "Region", description: "As eu-west-1; read from the address where that names one" }),
  endpoint: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^/?#@\\]+\/?$/)
    .optional()
    .meta({
      title: "Endpoint",
      description: "For VPC endpoints and emulators; default the service's own in the region",
    }),
  role_arn: z
    .string()
    .max(2048)
    .regex(/^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[!-~]+$/)
    .optional()
    .meta({ title: "Role ARN", description: "A role that the worker takes on, instead of access keys" }),
};

const secretText = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[!-~]+$/)
    .optional();

/** The secrets of every such type: both keys, and their session token if they are temporary; none with a role. */
export const awsSecrets = z.strictObject({
  access_key_id: secretText(128).meta({ title: "Access key ID" }),
  secret_access_key: secretText(256).meta({ title: "Secret access key" }),
  session_token: secretText(8192).meta({ title: "Session token", description: "Of temporary credentials" }),
});

/** The config that credentials are made of. */
export interface AwsConfig {
  readonly endpoint?: string | undefined;
  readonly role_arn?: string | undefined;
}

const partitions: readonly (readonly [regionPrefix: string, domain: string])[] = [
  ["cn-", "amazonaws.com.cn"],
  ["eusc-", "amazonaws.eu"],
  ["", "amazonaws.com"],
];

/** Where a service is reached: the config's own endpoint, or the one of the region. */
export const endpointOf = (service: string, region: string, endpoint: string | undefined): URL => {
  if (endpoint !== undefined) return new URL(endpoint);
  const [, domain] = partitions.find(([prefix]) => region.startsWith(prefix)) ?? [];
  return new URL(`https://${service}.${region}.${domain}`);
};

/** What the schema cannot say of the fields that all these types have. */
export const awsProblem = ({ endpoint }: AwsConfig): string | undefined =>
  endpoint !== undefined && !URL.canParse(endpoint) ? "config.endpoint: is not a URL" : undefined;

/** The parts of the SDK's requests and handlers that are used here. */
interface SdkRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}
interface RequestHandler {
  readonly handle: (
    request: SdkRequest,
    options?: { readonly abortSignal?: unknown },
  ) => Promise<{ response: { statusCode: number; headers: Record<string, string>; body: Uint8Array } }>;
  readonly updateHttpClientConfig: () => void;
  readonly httpHandlerConfigs: () => object;
}

/** Each carries a request of up to ten messages at a time. */
const connectionsMax = 32;
const stsTimeoutMs = 10_000;

const lowerCaseNames = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** An answer that ended before its announced length says nothing: its sender may have taken the messages. */
const checkLength = (announced: string | undefined, body: string, signal: AbortSignal): void => {
  if (announced === undefined || Buffer.byteLength(body) >= Number(announced)) return;
  throw signal.aborted ? abortError(signal) : new DialError("reset", "the connection was closed within the answer");
};

/** The SDK's HTTP over the dialler. Requests of these services are one POST without a query. */
const guardedHandler = (dialler: Dialler): RequestHandler & { readonly close: () => Promise<void> } => {
  const pools = new Map<string, HttpPool>();
  let closed: Promise<unknown> | undefined;
  const poolOf = ({ protocol, hostname, port }: SdkRequest): HttpPool => {
    if (closed !== undefined) throw new DialError("reset", "the destination was closed by this worker", { ours: true });
    const origin = new URL(`${protocol}//${hostname}${port === undefined ? "" : `:${port}`}`);
    const pool = pools.get(origin.origin) ?? dialler.pool(origin, { connections: connectionsMax });
    pools.set(origin.origin, pool);
    return pool;
  };
  return {
    handle: async (request, { abortSignal } = {}) => {
      const signal = abortSignal instanceof AbortSignal ? abortSignal : AbortSignal.timeout(stsTimeoutMs);
      const sent = request.body ?? "";
      const { status, headers, body } = await dialler.request(poolOf(request), {
        method: "POST",
        path: request.path,
        headers: lowerCaseNames(request.headers),
        body: typeof sent === "string" ? sent : Buffer.from(sent.buffer, sent.byteOffset, sent.byteLength),
        signal,
      });
      checkLength(headers["content-length"], body, signal);
      return { response: { statusCode: status, headers: { ...headers }, body: Buffer.from(body) } };
    },
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
    close: async () => {
      closed ??= Promise.all([...pools.values()].map((pool) => pool.close()));
      await closed;
    },
  };
};

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/**
 * What the trust policy of a tenant's role asks for. It is made of the tenant, never chosen, so that no tenant can have the
 * worker take on another's role (https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html).
 */
const externalIdOf = (tenantId: string): string => {
  const fits = /^[A-Za-z0-9+=,.@:/_-]{1,1000}$/.test(tenantId);
  return `postrider:${fits ? tenantId : createHash("sha256").update(tenantId).digest("hex")}`;
};

/** Takes on the role with what the worker's own environment gives the SDK; nothing of that reaches the destination. */
const assumeRole = (
  { config, tenantId }: ConnectContext<AwsConfig>,
  region: string,
  requestHandler: RequestHandler,
) => {
  const connect = async () => {
    const { AssumeRoleCommand, STSClient } = await import("@aws-sdk/client-sts");
    const client = new STSClient({ region, requestHandler, maxAttempts: 1 });
    const input = {
      RoleArn: config.role_arn,
      RoleSessionName: "postrider",
      ExternalId: externalIdOf(tenantId),
    };
    return (abortSignal: AbortSignal) => client.send(new AssumeRoleCommand(input), { abortSignal });
  };
  let connected: ReturnType<typeof connect> | undefined;
  return async (): Promise<Credentials> => {
    connected ??= connect();
    const assume = await connected;
    const signal = AbortSignal.timeout(stsTimeoutMs);
    try {
      const { Credentials: given } = await assume(signal);
      return {
        accessKeyId: given?.AccessKeyId ?? "",
        secretAccessKey: given?.SecretAccessKey ?? "",
        sessionToken: given?.SessionToken ?? "",
        expiration: given?.Expiration ?? new Date(),
      };
    } catch (error) {
      throw new RefusedError(outcomeOfStsError(error, signal));
    }
  };
};

const staticCredentials = (secrets: ConnectContext<AwsConfig>["secrets"]): Credentials | undefined => {
  const [accessKeyId] = secrets.access_key_id ?? [];
  const [secretAccessKey] = secrets.secret_access_key ?? [];
  const [sessionToken] = secrets.session_token ?? [];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
};

const assumeRoleRemedy =
  "role_arn needs a worker that runs with POSTRIDER_ALLOW_ASSUME_ROLE=true; or give access keys instead of it";
const keysRemedy =
  "access_key_id and secret_access_key are missing: give both with outbox.update_destination(secrets => ...)";

/** Gives the SDK credentials. What is wrong with them is told to the first request, as an outcome. */
const credentialsOf = (
  context: ConnectContext<AwsConfig>,
  region: string,
  requestHandler: RequestHandler,
): (() => Promise<Credentials>) => {
  const { config, secrets, operator } = context;
  const refuse = (reason: string) => async () => {
    throw new RefusedError(dead("config_invalid", reason));
  };
  const given = staticCredentials(secrets);
  if (config.role_arn === undefined) return given === undefined ? refuse(keysRemedy) : async () => given;
  if (given !== undefined) return refuse("there are access keys and role_arn: only one of them can hold");
  return operator.allowAssumeRole ? assumeRole(context, region, requestHandler) : refuse(assumeRoleRemedy);
};

/**
 * W3C trace context as an X-Ray tracing header: the trace ID cut after its first 8 digits, the parent, the sampled flag
 * (https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html).
 */
export const traceHeader = (traceparent: string): string => {
  const [, trace = "", parent = "", flags = ""] = traceparent.split("-");
  const sampled = Number.parseInt(flags, 16) & 1;
  return `Root=1-${trace.slice(0, 8)}-${trace.slice(8)};Parent=${parent};Sampled=${sampled}`;
};

/**
 * What an SDK client of a destination is built with, and how its connections are closed. Each option that the SDK would
 * otherwise look up in the environment or in a profile is given.
 */
export const connectAws = (context: ConnectContext<AwsConfig>, service: string, region: string) => {
  const requestHandler = guardedHandler(context.dialler);
  const options = {
    region,
    endpoint: endpointOf(service, region, context.config.endpoint).origin,
    credentials: credentialsOf(context, region, requestHandler),
    requestHandler,
    maxAttempts: 1,
    retryMode: "standard",
    defaultsMode: "standard" as const,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    authSchemePreference: ["sigv4"],
    userAgentAppId: async () => undefined,
    defaultUserAgentProvider: async (): Promise<[string, string][]> => [["postrider", "1"]],
  };
  return { options, close: requestHandler.close };
};
