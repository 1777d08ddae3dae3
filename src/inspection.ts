/** Looks at destinations that changed: seals their secrets, and says what is wrong with them before an event shows it. */
import pLimit from "p-limit";
import { type ConnectionsOptions, readDestination, UnusableDestination } from "./connections.ts";
import type { DestinationType } from "./destination.ts";
import { PostriderError } from "./errors.ts";
import {
  listDestinationsToCheck,
  listSecretsToSeal,
  loadDestinations,
  markChecked,
  type StoredDestination,
  sealSecret,
} from "./queries/destinations.ts";
import { open, seal } from "./secrets.ts";
import { isHttp } from "./targets.ts";

/** Seals what is plain, and again what is sealed with an older key. */
const sealSecrets = async (stored: StoredDestination, { database, keys }: ConnectionsOptions): Promise<void> => {
  const [key] = keys;
  if (key === undefined) return;
  for (const secret of stored.secrets.filter(({ keyId }) => keyId !== key.id)) {
    const place = { tenantId: stored.tenantId, destinationId: stored.id, name: secret.name, version: secret.version };
    const value = secret.value ?? open(secret.sealed ?? "", secret.keyId ?? "", place, keys);
    await sealSecret(database.kysely, secret, seal(value, place, key), key.id);
  }
};

const addressProblem = async (type: DestinationType, config: unknown, { dialler }: ConnectionsOptions) => {
  for (const url of type.addresses(config)) {
    // A protocol other than HTTP is the type's own word, not the tenant's.
    const verdict = await dialler.check(url, isHttp(url.protocol) ? undefined : [url.protocol]);
    // A name that has no address now may have one when the first event comes.
    if (verdict.kind === "forbidden") return verdict.reason;
  }
  return undefined;
};

/** What is wrong with a destination, in words that say what to change; undefined when nothing is. */
export const findProblem = async (
  stored: StoredDestination,
  options: ConnectionsOptions,
): Promise<string | undefined> => {
  try {
    const { type, config } = readDestination(stored, options.registry, options.keys);
    return await addressProblem(type, config, options);
  } catch (error) {
    if (error instanceof UnusableDestination) return error.message;
    throw error;
  }
};

/** Checks the destinations that changed. Returns whether there may be more. */
export const inspectDestinations = async (options: ConnectionsOptions): Promise<boolean> => {
  const ids = await listDestinationsToCheck(options.database.kysely);
  if (ids.length === 0) return false;
  const destinations = await loadDestinations(options.database.kysely, ids);
  await sealAll(destinations, options);
  // Ten at a time: a name that does not resolve takes seconds.
  const limit = pLimit(10);
  await limit.map(destinations, async (stored) =>
    markChecked(options.database.kysely, stored, (await findProblem(stored, options)) ?? null),
  );
  return true;
};

const sealAll = async (destinations: readonly StoredDestination[], options: ConnectionsOptions): Promise<void> => {
  for (const stored of destinations) {
    // A secret whose key is missing is told of by its destination's problem.
    await sealSecrets(stored, options).catch((error) => {
      if (!(error instanceof PostriderError)) throw error;
    });
  }
};

/** Seals secrets of destinations that did not change: a key was configured, or replaced. */
export const sealOldSecrets = async (options: ConnectionsOptions): Promise<void> => {
  const [key] = options.keys;
  if (key === undefined) return;
  const ids = await listSecretsToSeal(options.database.kysely, key.id);
  if (ids.length > 0) await sealAll(await loadDestinations(options.database.kysely, ids), options);
};
