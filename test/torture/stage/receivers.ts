/** The receivers of sinks, and what their destinations are made of. */
import { randomBytes } from "node:crypto";
import type { Names, SinkOptions } from "../stage.ts";
import type { Authority } from "./authority.ts";
import type { TortureBroker } from "./broker.ts";
import { lastingPort } from "./ports.ts";
import { createWebhookSink, type Receiver, type WebhookSink } from "./webhook_sink.ts";

/** Retries come soon and do not end, so that whatever heals is seen within seconds. */
export const stagePolicy = {
  exponential: { base_seconds: 0.5, factor: 1.5, cap_seconds: 3, attempts: 100 },
  timeout_seconds: 2,
  circuit: { failures: 20, span_seconds: 5, probe_seconds: 1, probe_seconds_max: 2 },
  disable_after_seconds: 31_536_000,
  max_age_seconds: 31_536_000,
} as const;

/** What receivers are made with. */
export interface Ground {
  readonly folder: string;
  readonly isNetworkPrivate: boolean;
  readonly names: Names;
  readonly broker?: TortureBroker | undefined;
  readonly authority: Authority;
  readonly httpPort: number;
  readonly httpsPort: number;
}

/** A receiver that runs, and its destination's part. */
export interface Made {
  readonly receiver: Receiver;
  /** The receiver again, if it is one of webhooks. */
  readonly webhook?: WebhookSink;
  readonly url: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, string>>;
}

/** In the private network the nth sink has an address of its own, else a port of its own. */
const placeOf = async ({ isNetworkPrivate, httpPort, httpsPort }: Ground, n: number, https: boolean) =>
  isNetworkPrivate
    ? { host: `93.184.216.${10 + n}`, port: https ? httpsPort : httpPort }
    : { host: "127.0.0.1", port: await lastingPort() };

export const makeWebhook = async (ground: Ground, options: SinkOptions, n: number): Promise<Made> => {
  const { folder, names, authority } = ground;
  const { name, https = false, policy = {} } = options;
  const { host, port } = await placeOf(ground, n, https);
  const scheme = https ? "https" : "http";
  const domain = `${name}.torture.test`;
  names.set(domain, { a: [host] });
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  const place = {
    name,
    folder,
    host,
    port,
    certificates: https ? authority.folder : undefined,
    deadlineMs: Number(policy.timeout_seconds ?? stagePolicy.timeout_seconds) * 1_000,
    elsewhere: `${scheme}://169.254.169.254:${port}/latest/meta-data/`,
  };
  const webhook = createWebhookSink(place, secret);
  await webhook.start();
  const url = `${scheme}://${domain}:${port}/`;
  return { receiver: webhook, webhook, url, config: { url }, secrets: { signing_secret: secret } };
};

export const makeQueue = async ({ broker }: Ground, { name }: SinkOptions): Promise<Made> => {
  if (broker === undefined) throw new Error(`The sink ${name} needs a broker.`);
  const { host, port, username, password } = broker;
  return {
    receiver: await broker.drain(name, name),
    url: `amqp://${host}:${port}/${name}`,
    config: { host, port, tls: false, exchange: "", routing_key: name },
    secrets: { username, password },
  };
};
