/** The schema: whether all of it is there, and is this installation's. */
import { PostriderError } from "../errors.ts";
import { type Check, count, ok, problem, warning } from "../finding.ts";
import { migrate } from "../migrate.ts";
import { listDefaultPartitionDays, listMissingPartitions, listTriggers, readInstance } from "../queries/doctor.ts";

const daysAhead = 3;

/** The triggers of `sql/functions`, and the file that makes each. */
export const triggers = {
  "audit_log._100_refuse_change": "check_destinations",
  "audit_log._200_refuse_delete": "audit_log",
  "destination_secrets._100_check": "check_destinations",
  "destinations._100_check": "check_destinations",
  "destinations._200_refuse_delete": "check_destinations",
  "destinations._300_restart_streak": "alerts_streaks",
  "events._010_check": "check_event",
  "events._050_reserve_topics": "own_events",
  "events._100_dedupe": "dedupe",
  "events._200_refuse_update": "check_destinations",
  "events._500_fan_out": "fan_out",
  "subscriptions._100_check": "check_destinations",
} as const;

export const checkMigrations: Check = async ({ connectionString }) => {
  try {
    const { pending } = await migrate({ connectionString, dryRun: true });
    if (pending.length === 0) return [ok("the database is up to date")];
    const [first] = pending;
    return [
      problem(`the database lacks ${count(pending.length, "change")}, the first is ${first}`, "postrider migrate"),
    ];
  } catch (error) {
    if (error instanceof PostriderError) return [problem(error.message)];
    throw error;
  }
};

export const checkInstance: Check = async ({ client }) => {
  const { same } = await readInstance(client);
  if (same === true) return [ok("this is the database that was confirmed")];
  const message =
    same === null
      ? "nobody has confirmed that this database is the one that sends"
      : "this database is a copy: workers refuse to send from it, because that would repeat real deliveries";
  return [problem(message, "select outbox.confirm_instance(); -- only if it is the one that is to send")];
};

export const checkTriggers: Check = async ({ client }) => {
  const found = await listTriggers(client);
  const names = new Set(found.map(({ table, trigger }) => `${table}.${trigger}`));
  const missing = Object.entries(triggers)
    .filter(([name]) => !names.has(name))
    .map(([name, file]) => {
      const remedy = `delete from outbox.applied_files where path = 'functions/${file}.sql'; -- then: postrider migrate`;
      return problem(`trigger ${name} is missing`, remedy);
    });
  const disabled = found
    .filter(({ enabled }) => !enabled)
    .map(({ table, trigger }) =>
      problem(`trigger ${table}.${trigger} is disabled`, `alter table outbox.${table} enable trigger ${trigger};`),
    );
  const wrong = [...missing, ...disabled];
  return wrong.length > 0 ? wrong : [ok(`${count(found.length, "trigger")}, all enabled`)];
};

export const checkPartitions: Check = async ({ client }) => {
  const missing = await listMissingPartitions(client, daysAhead);
  const days = await listDefaultPartitionDays(client);
  const findings = [];
  if (missing.length > 0) {
    const level = missing.some(({ today }) => today) ? problem : warning;
    const names = missing.map(({ partition }) => partition).join(", ");
    findings.push(level(`partitions are missing: ${names}`, "select outbox.maintain_partitions();"));
  }
  if (days.length > 0) {
    const message = `the default partitions hold rows of ${days.map(({ day }) => day).join(", ")}, which retention never drops`;
    findings.push(warning(message, days.map(({ create }) => create).join(" ")));
  }
  return findings.length > 0 ? findings : [ok(`partitions exist for today and ${count(daysAhead, "day")} ahead`)];
};
