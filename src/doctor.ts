/**
 * Looks an installation over: the server, the schema, the workers, the destinations. It changes nothing. Each check is a
 * function in `doctor/`; what is wrong comes with the SQL or the command that mends it.
 */
import { connect } from "./database.ts";
import { checkCircuits, checkDestinations, checkSecrets } from "./doctor/destinations.ts";
import { checkInstance, checkMigrations, checkPartitions, checkTriggers } from "./doctor/schema.ts";
import {
  checkClock,
  checkEncoding,
  checkNotificationQueue,
  checkOldTransactions,
  checkPooler,
  checkReplicationSlots,
  checkServerSettings,
} from "./doctor/server.ts";
import { checkBacklog, checkDeadLetters, checkJobs, checkWorkers } from "./doctor/work.ts";
import { codeOf, messageOf, PostriderError } from "./errors.ts";
import { type Check, type Finding, type Patient, problem, warning } from "./finding.ts";
import { readServer } from "./queries/server.ts";

/** A finding, and the check that made it. */
export interface Diagnosis extends Finding {
  readonly check: string;
}

/** These need no schema of ours. */
const serverChecks = {
  server: checkEncoding,
  settings: checkServerSettings,
  clock: checkClock,
  pooler: checkPooler,
  notifications: checkNotificationQueue,
  transactions: checkOldTransactions,
  replication: checkReplicationSlots,
  migrations: checkMigrations,
} as const satisfies Record<string, Check>;

const installationChecks = {
  instance: checkInstance,
  triggers: checkTriggers,
  partitions: checkPartitions,
  workers: checkWorkers,
  secrets: checkSecrets,
  destinations: checkDestinations,
  circuits: checkCircuits,
  dead_letters: checkDeadLetters,
  backlog: checkBacklog,
  jobs: checkJobs,
} as const satisfies Record<string, Check>;

/** The names of all checks. */
export const checkNames: readonly string[] = Object.keys({ ...serverChecks, ...installationChecks });

/** A check that cannot look is a finding too, and does not keep the others from looking. */
const run = async (check: Check, patient: Patient): Promise<readonly Finding[]> => {
  try {
    return await check(patient);
  } catch (error) {
    const denied = codeOf(error) === "42501";
    return [
      warning(`cannot look: ${messageOf(error)}`, denied ? "Run the doctor as the owner of the schema" : undefined),
    ];
  }
};

/** Examines an installation. A database that cannot be reached is a finding as well. */
export const examine = async (subject: Omit<Patient, "client">): Promise<readonly Diagnosis[]> => {
  let client: Awaited<ReturnType<typeof connect>>;
  try {
    client = await connect(subject.connectionString);
  } catch (error) {
    if (error instanceof PostriderError) return [{ check: "server", ...problem(error.message) }];
    throw error;
  }
  try {
    const { installed } = await readServer(client);
    const diagnoses: Diagnosis[] = [];
    for (const [name, check] of Object.entries(installed ? { ...serverChecks, ...installationChecks } : serverChecks)) {
      const findings = await run(check, { ...subject, client });
      diagnoses.push(...findings.map((finding) => ({ check: name, ...finding })));
    }
    return diagnoses;
  } finally {
    await client.end();
  }
};
