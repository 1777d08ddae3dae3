/** What a worker reads about destinations, and what it finds. */
import { type Kysely, sql } from "kysely";

/** A secret as it stands in the database. */
export interface StoredSecret {
  readonly id: number;
  readonly name: string;
  readonly version: number;
  readonly value: string | null;
  readonly sealed: string | null;
  readonly keyId: string | null;
  readonly validUntil: string | null;
}

/** What holds for deliveries to a destination, defaults filled in. */
export interface EffectivePolicy {
  readonly timeout_seconds: number;
  readonly dead_statuses: readonly number[];
}

/** A destination as it stands in the database. Its secrets are the valid ones, newest first. */
export interface StoredDestination {
  readonly id: string;
  readonly version: number;
  readonly tenantId: string;
  readonly type: string;
  readonly name: string;
  readonly config: unknown;
  readonly policy: EffectivePolicy;
  readonly secrets: readonly StoredSecret[];
}

/** Loads destinations by id; unknown ids are left out. */
export const loadDestinations = async (
  kysely: Kysely<unknown>,
  ids: readonly string[],
): Promise<readonly StoredDestination[]> => {
  const { rows } = await sql<StoredDestination>`
    select id, version, tenant_id as "tenantId", type, name, config, policy, secrets
    from outbox.load_destinations(${ids}::uuid[])`.execute(kysely);
  return rows;
};

/** Which of these destinations are disabled or deleted. */
export const listClosedDestinations = async (
  kysely: Kysely<unknown>,
  ids: readonly string[],
): Promise<readonly string[]> => {
  const { rows } = await sql<{
    id: string;
  }>`select id from outbox.closed_destinations(${ids}::uuid[]) as t (id)`.execute(kysely);
  return rows.map(({ id }) => id);
};

/** Ids of destinations that changed since a worker looked at them last. */
export const listDestinationsToCheck = async (kysely: Kysely<unknown>): Promise<readonly string[]> => {
  const { rows } = await sql<{ id: string }>`select id from outbox.destinations_to_check() as t (id)`.execute(kysely);
  return rows.map(({ id }) => id);
};

/** Says that a version of a destination was looked at, and what is wrong with it. */
export const markChecked = async (
  kysely: Kysely<unknown>,
  { id, version }: Pick<StoredDestination, "id" | "version">,
  problem: string | null,
): Promise<void> => {
  await sql`select outbox.mark_checked(${id}, ${version}, ${problem})`.execute(kysely);
};

/** Ids of destinations with secrets that are plain, or sealed with another key than this one. */
export const listSecretsToSeal = async (kysely: Kysely<unknown>, keyId: string): Promise<readonly string[]> => {
  const { rows } = await sql<{ id: string }>`select id from outbox.secrets_to_seal(${keyId}) as t (id)`.execute(kysely);
  return rows.map(({ id }) => id);
};

/** Puts a sealed form in the place of a secret, unless that has changed since it was read. */
export const sealSecret = async (
  kysely: Kysely<unknown>,
  { id, value, sealed: old }: StoredSecret,
  sealed: string,
  keyId: string,
): Promise<void> => {
  await sql`select outbox.seal_secret(${id}, ${value ?? old}, ${sealed}, ${keyId})`.execute(kysely);
};
