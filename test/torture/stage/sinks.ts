/** The receivers of the stage and their destinations: `await using sinks = await openSinks({ folder, admin, ... })`. */
import type { Admin, CanaryEntry, Names, Sink, SinkEntry, SinkOptions, Sinks } from "../stage.ts";
import { createAuthority } from "./authority.ts";
import type { TortureBroker } from "./broker.ts";
import { createFolderReader } from "./ledger.ts";
import { lastingPort } from "./ports.ts";
import { type Made, makeQueue, makeWebhook, stagePolicy } from "./receivers.ts";
import type { WebhookSink } from "./webhook_sink.ts";

export interface SinksOptions {
  readonly folder: string;
  readonly admin: Admin;
  readonly isNetworkPrivate: boolean;
  readonly names: Names;
  readonly broker?: TortureBroker | undefined;
}

export interface OpenSinks extends Sinks, AsyncDisposable {
  /** The certificate authority that workers must trust (NODE_EXTRA_CA_CERTS). */
  readonly authorityFile: string;
  /** The ports that webhook sinks of this stage listen on in the private network, where each has an address of its own. */
  readonly ports: readonly number[];
  /** Every secret that a sink or its destination was given so far. */
  readonly secrets: () => readonly string[];
  /** Requests at wrong certificates since the last call. */
  readonly readCanaries: () => readonly CanaryEntry[];
}

const subscribe = async (admin: Admin, options: SinkOptions, { url, config, secrets }: Made): Promise<Sink> => {
  const { name, type = "webhook", tenant, topics, amountMin, ordered = false, policy } = options;
  const filter = amountMin === undefined ? null : { amount: { $gte: amountMin } };
  const [destination] = await admin.query<{ id: string }>(
    `select outbox.create_destination(
       $1, $2, $3, topics => $4, filter => $5, tenant_id => $6, name => $7, policy => $8, ordered => $9) as id`,
    [type, config, secrets, topics, filter, tenant, name, { ...stagePolicy, ...policy }, ordered],
  );
  const destinationId = String(destination?.id);
  const [subscription] = await admin.query<{ id: string }>(
    "select id from outbox.subscriptions where destination_id = $1",
    [destinationId],
  );
  const subscriptionId = String(subscription?.id);
  const filtered = amountMin === undefined ? {} : { amountMin };
  return { name, type, tenant, topics, ...filtered, ordered, destinationId, subscriptionId, url };
};

/** Opens a stage's sinks: none yet. */
export const openSinks = async (options: SinksOptions): Promise<OpenSinks> => {
  const { folder, admin, broker } = options;
  const authority = await createAuthority(folder);
  const ground = { ...options, authority, httpPort: await lastingPort(), httpsPort: await lastingPort() };
  const parts = new AsyncDisposableStack();
  const all: Sink[] = [];
  const made = new Map<string, Made>();
  const secrets = new Set<string>(broker === undefined ? [] : [broker.password]);
  let count = 0;

  const sinkOf = (name: string): Made => {
    const sink = made.get(name);
    if (sink === undefined) throw new Error(`There is no such sink: ${name}`);
    return sink;
  };
  const webhookOf = (name: string): WebhookSink => {
    const { webhook } = sinkOf(name);
    if (webhook === undefined) throw new Error(`The sink ${name} is none of webhooks.`);
    return webhook;
  };
  const add = async (sinkOptions: SinkOptions): Promise<Sink> => {
    const make = sinkOptions.type === "rabbitmq" ? makeQueue : makeWebhook;
    const sink = await make(ground, sinkOptions, count++);
    parts.use(sink.receiver);
    made.set(sinkOptions.name, sink);
    for (const secret of sink.webhook?.state.secrets ?? []) secrets.add(secret);
    const subscribed = await subscribe(admin, sinkOptions, sink);
    all.push(subscribed);
    return subscribed;
  };
  const trust = async (name: string, secret: string): Promise<void> => {
    secrets.add(secret);
    const webhook = webhookOf(name);
    await webhook.change({ secrets: [...webhook.state.secrets, secret] });
  };
  return {
    all,
    add,
    behave: (name, manner) => webhookOf(name).change({ manner }),
    trust,
    kill: (name) => sinkOf(name).receiver.kill(),
    start: (name) => sinkOf(name).receiver.start(),
    present: (name, certificate) => webhookOf(name).change({ certificate }),
    read: createFolderReader<SinkEntry>(folder, "sink-").read,
    authorityFile: authority.file,
    ports: [ground.httpPort, ground.httpsPort],
    secrets: () => [...secrets],
    readCanaries: createFolderReader<CanaryEntry>(folder, "canary-").read,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
