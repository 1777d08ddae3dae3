import { type Command, InvalidArgumentError } from "commander";
import { addDatabaseOption, readSettings, say, table } from "../command.ts";
import { PostriderError } from "../errors.ts";

interface Options {
  readonly databaseUrl?: string;
  readonly name?: string;
}

const uuid = (text: string): string => {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text;
  throw new InvalidArgumentError("It is not the id of a destination: select id, name from outbox.destinations;");
};

/** The secrets that are valid now, newest first. */
const readSecrets = async (destinationId: string, options: Options) => {
  const { config, connectionString } = await readSettings(options);
  const { openDatabase } = await import("../database.ts");
  const { loadDestinations } = await import("../queries/destinations.ts");
  const { open } = await import("../secrets.ts");
  await using database = openDatabase({ connectionString, connectionsMax: 1 });
  const [destination] = await loadDestinations(database.kysely, [destinationId]);
  if (destination === undefined) {
    throw new PostriderError("POSTRIDER_DESTINATION_UNKNOWN", `there is no destination with the id ${destinationId}`);
  }
  const { tenantId } = destination;
  return destination.secrets.map(({ name, version, value, sealed, keyId, validUntil }) => ({
    name,
    value: value ?? open(sealed ?? "", keyId ?? "", { tenantId, destinationId, name, version }, config.keys),
    validUntil,
  }));
};

const run = async (destinationId: string, options: Options): Promise<void> => {
  const secrets = await readSecrets(destinationId, options);
  const chosen = secrets.filter(({ name }) => name === (options.name ?? name));
  const [newest] = chosen;
  if (newest === undefined) {
    const which = options.name === undefined ? "secrets" : `secret ${options.name}`;
    throw new PostriderError("POSTRIDER_SECRET_UNAVAILABLE", `the destination has no ${which}`);
  }
  if (options.name !== undefined) return say(newest.value);
  say(table(chosen.map(({ name, value, validUntil }) => ({ name, value, "valid until": validUntil ?? "rotated" }))));
};

/** `postrider secret`: shows what a destination signs with. */
export const addSecret = (program: Command): void => {
  addDatabaseOption(program.command("secret"))
    .summary("show the secrets of a destination")
    .description("Shows the secrets of a destination that are valid now, newest first, opened with POSTRIDER_KEYS.")
    .argument("<destination-id>", "as in: select id, name from outbox.destinations;", uuid)
    .option("--name <name>", "print only the newest value of this one: signing_secret")
    .addHelpText("after", "\nExample:\n  $ postrider secret 019a8a5e-35f0-7c2b-9d9e-0d5a3f0c5a11 --name signing_secret")
    .action(run);
};
