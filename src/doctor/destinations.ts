/** The destinations: whether they can be used, and how their secrets are kept. */
import { type Check, count, ok, problem, span, warning } from "../finding.ts";
import { listOpenCircuits, listTroubledDestinations, readSecretStorage } from "../queries/doctor.ts";

/** Receivers are often away for minutes. */
const openSecondsMax = 3_600;

const makeKey = "export POSTRIDER_KEYS=k1:$(openssl rand -base64 32) # the same for all workers; keep it safe";

export const checkSecrets: Check = async ({ client, config }) => {
  const { plain, key_ids: keyIds } = await readSecretStorage(client);
  const known = new Set(config.keys.map(({ id }) => id));
  const unknown = (keyIds ?? []).filter((id) => !known.has(id));
  const findings = [];
  if (unknown.length > 0) {
    const message = `secrets are sealed with ${unknown.join(", ")}, which POSTRIDER_KEYS does not have here`;
    findings.push(problem(message, "Set POSTRIDER_KEYS to what the workers have, old keys included"));
  } else if (known.size === 0) {
    findings.push(
      warning("no key is configured (POSTRIDER_KEYS): secrets of destinations stay readable in the database", makeKey),
    );
  }
  const [first] = config.keys;
  const older = (keyIds ?? []).filter((id) => known.has(id) && id !== first?.id);
  if (older.length > 0) {
    const message = `secrets are still sealed with ${older.join(", ")}: a worker seals them with ${first?.id} within a minute`;
    findings.push(warning(message, `Keep ${older.join(", ")} in POSTRIDER_KEYS until this is gone`));
  }
  if (plain > 0 && known.size > 0) {
    const message = `${count(plain, "secret")} not sealed: a worker that has the key does it within seconds`;
    findings.push(warning(message, "Start a worker with POSTRIDER_KEYS"));
  }
  return findings.length > 0 ? findings : [ok(`${count(known.size, "key")}, every secret is sealed with one of them`)];
};

export const checkDestinations: Check = async ({ client }) => {
  const troubled = await listTroubledDestinations(client);
  if (troubled.length === 0) return [ok("every destination is enabled and can be used")];
  return troubled.map(({ id, tenant_id: tenant, name, problem: what, disabled_reason: reason }) =>
    what !== null
      ? problem(`${name} (tenant ${tenant}): ${what}`, `select outbox.update_destination('${id}', config => '{...}');`)
      : warning(`${name} (tenant ${tenant}) is disabled: ${reason}`, `select outbox.enable_destination('${id}');`),
  );
};

export const checkCircuits: Check = async ({ client }) => {
  const open = await listOpenCircuits(client, openSecondsMax);
  if (open.length === 0) return [ok(`no circuit is open for longer than ${span(openSecondsMax)}`)];
  return open.map(({ id, tenant_id: tenant, name, seconds, last_error: error }) =>
    warning(
      `${name} (tenant ${tenant}) fails, its circuit is open since ${span(seconds)}: ${error ?? "no error is known"}`,
      `select * from outbox.destination_status where id = '${id}'; -- what is held comes back once a probe gets through`,
    ),
  );
};
