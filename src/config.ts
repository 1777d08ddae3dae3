/** The only reader of process.env: text in, one frozen value with defaults out. */
import { z } from "zod";
import { parseAllowedNetworks } from "./addresses.ts";
import { PostriderError } from "./errors.ts";
import { logLevels } from "./log.ts";
import { parseKeys } from "./secrets.ts";

const flag = z.enum(["true", "false", "1", "0", ""]).transform((text) => text === "true" || text === "1");
const whole = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const parsedBy = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
      return z.NEVER;
    }
  });

const environment = z.object({
  DATABASE_URL: z.string().optional(),
  POSTRIDER_KEYS: parsedBy(parseKeys).default([]),
  POSTRIDER_ALLOW_HTTP: flag.default(false),
  POSTRIDER_ALLOW_ASSUME_ROLE: flag.default(false),
  POSTRIDER_ALLOW_NETWORKS: parsedBy(parseAllowedNetworks).default([]),
  POSTRIDER_DNS_SERVERS: z
    .string()
    .transform((text) =>
      text
        .split(",")
        .map((server) => server.trim())
        .filter(Boolean),
    )
    .default([]),
  POSTRIDER_IN_FLIGHT: whole(1, 10_000).default(680),
  POSTRIDER_RETENTION_DAYS: whole(1, 3650).default(30),
  POSTRIDER_LOG_LEVEL: z.enum(logLevels).default("info"),
});

/** What an installation may set from outside. */
export interface Config {
  readonly databaseUrl: string | undefined;
  /** Keys that seal destination secrets: the first seals, all open. */
  readonly keys: ReturnType<typeof parseKeys>;
  readonly allowHttp: boolean;
  /** Destinations may name a cloud role that the worker takes on with its own credentials. */
  readonly allowAssumeRole: boolean;
  readonly allowedNetworks: ReturnType<typeof parseAllowedNetworks>;
  /** Name servers to ask instead of the system's: `10.0.0.2`, `[::1]:5353`. */
  readonly dnsServers: readonly string[];
  /** Deliveries that one process sends at the same time. */
  readonly inFlightMax: number;
  readonly retentionDays: number;
  readonly logLevel: (typeof logLevels)[number];
}

/**
 * Reads the configuration from environment variables.
 * @throws PostriderError POSTRIDER_CONFIG_INVALID, naming the variable
 */
export const readConfig = (env: NodeJS.ProcessEnv = process.env): Config => {
  const parsed = environment.safeParse(env);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new PostriderError("POSTRIDER_CONFIG_INVALID", `${issue?.path.join(".")}: ${issue?.message}`);
  }
  return Object.freeze({
    databaseUrl: parsed.data.DATABASE_URL,
    keys: parsed.data.POSTRIDER_KEYS,
    allowHttp: parsed.data.POSTRIDER_ALLOW_HTTP,
    allowAssumeRole: parsed.data.POSTRIDER_ALLOW_ASSUME_ROLE,
    allowedNetworks: parsed.data.POSTRIDER_ALLOW_NETWORKS,
    dnsServers: parsed.data.POSTRIDER_DNS_SERVERS,
    inFlightMax: parsed.data.POSTRIDER_IN_FLIGHT,
    retentionDays: parsed.data.POSTRIDER_RETENTION_DAYS,
    logLevel: parsed.data.POSTRIDER_LOG_LEVEL,
  });
};
