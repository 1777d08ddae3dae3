/** Every code that Postrider's own errors carry, with what it means. The README's table is tested against this one. */
export const errorCodes = {
  POSTRIDER_CONFIG_INVALID: "An environment variable or option has a value that cannot be used",
  POSTRIDER_DATABASE_URL_MISSING: "No database was named",
  POSTRIDER_DATABASE_UNREACHABLE: "The database does not answer, or refuses the connection",
  POSTRIDER_EMBEDDED_MISSING: "The embedded Postgres is not installed",
  POSTRIDER_EMBEDDED_FAILED: "The embedded Postgres did not start",
  POSTRIDER_MIGRATION_CHANGED: "A migration that the database has was changed afterwards",
  POSTRIDER_MIGRATION_FAILED: "A file of sql/ could not be applied; nothing was changed",
  POSTRIDER_DATABASE_NEWER: "The database was migrated by a newer Postrider",
  POSTRIDER_DATABASE_BEHIND: "The database lacks migrations, and this process may not apply them",
  POSTRIDER_SERVER_UNSUPPORTED: "The server is older than Postgres 15",
  POSTRIDER_INSTANCE_UNCONFIRMED: "The database is a restored copy that nobody has confirmed",
  POSTRIDER_DESTINATION_TYPE_UNKNOWN: "No destination type has this name",
  POSTRIDER_DESTINATION_TYPE_INVALID: "A destination type's schema cannot be used from SQL",
  POSTRIDER_DESTINATION_UNKNOWN: "No destination has this id",
  POSTRIDER_SECRET_UNAVAILABLE: "A sealed secret cannot be opened with the keys that are configured",
  POSTRIDER_PRESET_MISSING: "The deliver task runs without the postrider() preset",
} as const;
export type ErrorCode = keyof typeof errorCodes;

/**
 * What we, or the installation, did wrong: its message says what to do next. What the world does to a delivery is an
 * Outcome, never an error.
 */
export class PostriderError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PostriderError";
    this.code = code;
  }
}

/** The message of anything that was thrown. */
export const messageOf = (thrown: unknown): string => {
  // A host with several addresses: the message of the whole is empty.
  if (thrown instanceof AggregateError && thrown.message === "") return thrown.errors.map(messageOf).join("; ");
  return thrown instanceof Error ? thrown.message : String(thrown);
};

/** The SQLSTATE or system code of anything that was thrown, if it carries one. */
export const codeOf = (thrown: unknown): string | undefined =>
  typeof thrown === "object" && thrown !== null && "code" in thrown && typeof thrown.code === "string"
    ? thrown.code
    : undefined;
