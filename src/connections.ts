/**
 * Keeps one live client for each destination that is in use: its config parsed, its secrets opened, its connections warm.
 * A change of the destination is a new version and a new client; idle clients are closed.
 */
import { batched } from "./batch.ts";
import type { Database } from "./database.ts";
import type { DestinationType, OperatorPolicy } from "./destination.ts";
import { messageOf } from "./errors.ts";
import type { Dialler } from "./outbound.ts";
import { type EffectivePolicy, loadDestinations, type StoredDestination } from "./queries/destinations.ts";
import type { Registry } from "./registry.ts";
import { open as openSecret, type SealingKey } from "./secrets.ts";

/** A destination that is ready to deliver to. */
export interface Connection {
  readonly version: number;
  readonly type: DestinationType;
  readonly config: unknown;
  readonly client: unknown;
  readonly policy: EffectivePolicy;
  /** The secrets that are valid at a time, newest first. */
  readonly secretsAt: (now: Date) => Readonly<Record<string, readonly string[]>>;
}

/** Why a destination cannot be delivered to: its config, or a secret that does not open. */
export class UnusableDestination extends Error {
  readonly code: "config_invalid" | "secret_unavailable";

  constructor(code: "config_invalid" | "secret_unavailable", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Live clients by destination. */
export interface Connections extends AsyncDisposable {
  /**
   * The connection to a destination, at this version or a later one.
   * @throws UnusableDestination
   */
  readonly get: (destinationId: string, version: number) => Promise<Connection>;
  /** Closes what has not been used since the last call, once what it is sending has ended. */
  readonly closeIdle: () => Promise<void>;
}

/** What connections are made with. */
export interface ConnectionsOptions {
  readonly database: Database;
  readonly registry: Registry;
  readonly dialler: Dialler;
  readonly operator: OperatorPolicy;
  readonly keys: readonly SealingKey[];
}

interface Entry {
  readonly version: number;
  readonly connection: Promise<Connection>;
  used: boolean;
}

const openSecrets = ({ id, tenantId, secrets }: StoredDestination, keys: readonly SealingKey[]) =>
  secrets.map(({ name, version, value, sealed, keyId, validUntil }) => ({
    name,
    value: value ?? openSecret(sealed ?? "", keyId ?? "", { tenantId, destinationId: id, name, version }, keys),
    validUntil: validUntil === null ? Number.POSITIVE_INFINITY : Date.parse(validUntil),
  }));

/**
 * Reads a stored destination the way a delivery uses it.
 * @throws UnusableDestination with a reason that says what to change
 */
export const readDestination = (stored: StoredDestination, registry: Registry, keys: readonly SealingKey[]) => {
  let type: DestinationType;
  try {
    type = registry.get(stored.type);
  } catch (cause) {
    throw new UnusableDestination("config_invalid", messageOf(cause), { cause });
  }
  const config = type.config.safeParse(stored.config);
  if (!config.success) {
    const [issue] = config.error.issues;
    throw new UnusableDestination("config_invalid", `config.${issue?.path.join(".")}: ${issue?.message}`);
  }
  const problem = type.check?.(config.data);
  if (problem !== undefined) throw new UnusableDestination("config_invalid", problem);
  try {
    return { type, config: config.data as unknown, secrets: openSecrets(stored, keys) };
  } catch (cause) {
    throw new UnusableDestination("secret_unavailable", messageOf(cause), { cause });
  }
};

const valuesByName = (secrets: readonly { readonly name: string; readonly value: string }[]) =>
  Object.fromEntries(
    [...Map.groupBy(secrets, ({ name }) => name)].map(([name, group]) => [name, group.map(({ value }) => value)]),
  );

const connect = async (stored: StoredDestination, options: ConnectionsOptions): Promise<Connection> => {
  const { type, config, secrets } = readDestination(stored, options.registry, options.keys);
  const lasting = valuesByName(secrets);
  const { dialler, operator } = options;
  const client: unknown = await type.connect({
    tenantId: stored.tenantId,
    config,
    secrets: lasting,
    dialler,
    operator,
  });
  const expires = Math.min(...secrets.map(({ validUntil }) => validUntil), Number.POSITIVE_INFINITY);
  return {
    version: stored.version,
    type,
    config,
    client,
    policy: stored.policy,
    secretsAt: (now) =>
      now.getTime() < expires ? lasting : valuesByName(secrets.filter(({ validUntil }) => validUntil > now.getTime())),
  };
};

const disconnect = async ({ connection }: Entry): Promise<void> => {
  const live = await connection.catch(() => undefined);
  await live?.type.disconnect(live.client);
};

/** Creates the connections of one worker process. */
export const createConnections = (options: ConnectionsOptions): Connections => {
  const entries = new Map<string, Entry>();
  /** Replaced by a newer version: closed at the next look round, when nobody is about to use them any more. */
  let outdated: Entry[] = [];
  const load = batched<string, StoredDestination>(
    async (ids) => {
      const rows = new Map((await loadDestinations(options.database.kysely, ids)).map((row) => [row.id, row]));
      return ids.map((id) => rows.get(id) ?? new UnusableDestination("config_invalid", "the destination was deleted"));
    },
    { sizeMax: 100, parallelMax: 1 },
  );
  const open = (id: string, version: number): Entry => {
    const connection = load(id).then((stored) => connect(stored, options));
    const entry = { version, connection, used: true };
    entries.set(id, entry);
    // A failure is not kept: the next attempt looks again.
    connection.catch(() => entries.get(id) === entry && entries.delete(id));
    return entry;
  };
  return {
    get: (id, version) => {
      const known = entries.get(id);
      if (known !== undefined && known.version >= version) {
        known.used = true;
        return known.connection;
      }
      if (known !== undefined) outdated.push(known);
      return open(id, version).connection;
    },
    closeIdle: async () => {
      const closing = outdated;
      outdated = [];
      for (const [id, entry] of entries) {
        if (!entry.used) {
          entries.delete(id);
          closing.push(entry);
        }
        entry.used = false;
      }
      await Promise.all(closing.map(disconnect));
    },
    [Symbol.asyncDispose]: async () => {
      const closing = [...entries.values(), ...outdated];
      entries.clear();
      outdated = [];
      await Promise.all(closing.map(disconnect));
    },
  };
};
