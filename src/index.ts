/** The public API of Postrider. What it does not name does not exist for users. */
export type { AllowedNetwork, NetworkPolicy } from "./addresses.ts";
export { type Config, readConfig } from "./config.ts";
export {
  type ConnectContext,
  type DeliverContext,
  type DestinationType,
  defineDestination,
  type FailureCode,
  failureCodes,
  type Message,
  type Outcome,
  type ResponseRecord,
} from "./destination.ts";
export { type ErrorCode, errorCodes, PostriderError } from "./errors.ts";
export { type MigrateOptions, type Migration, migrate } from "./migrate.ts";
export { DialError, type Dialler } from "./outbound.ts";
export { type PostriderOptions, postrider } from "./preset.ts";
export { startWorker, type Worker, type WorkerOptions } from "./worker.ts";
