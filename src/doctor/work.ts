/** The work: who does it, how far behind it is, and what failed. */
import { type Check, count, ok, problem, span, warning } from "../finding.ts";
import { countDeadLetters, countFailedJobs, listUnknownPools, readBacklog, readWorkers } from "../queries/doctor.ts";

const waitSecondsMax = { warning: 60, problem: 900 };

/** As SQL writes a text. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export const checkWorkers: Check = async ({ client }) => {
  const { live, silent, oldest_beat_seconds: beat, versions } = await readWorkers(client);
  if (live === 0) {
    const message = silent === 0 ? "no worker is running" : `no worker is alive, ${silent} fell silent`;
    return [problem(`${message}: nothing is delivered`, "postrider work")];
  }
  const alive = ok(`${count(live, "worker")} alive, the last beat ${beat ?? 0} s ago at most`);
  if (versions !== null && versions.length > 1) {
    return [
      alive,
      warning(`workers run different versions: ${versions.join(", ")}`, "Deploy the same version everywhere"),
    ];
  }
  return [alive];
};

export const checkDeadLetters: Check = async ({ client }) => {
  const dead = await countDeadLetters(client);
  if (dead.length === 0) return [ok("no dead letters")];
  return dead.map(({ error_code: code, count: n }) =>
    warning(
      `${count(n, "dead letter")} with ${code}: select * from outbox.dead_letters;`,
      `select count(*) from outbox.redrive(error_code => ${quoted(code)}); -- once the cause is mended`,
    ),
  );
};

export const checkBacklog: Check = async ({ client }) => {
  const { due, oldest_due_seconds: waiting, deferred } = await readBacklog(client);
  const remedy =
    "select * from outbox.lag; select * from outbox.destination_status; -- then more workers: postrider work";
  const findings = [];
  if (waiting > waitSecondsMax.warning) {
    const level = waiting > waitSecondsMax.problem ? problem : warning;
    findings.push(level(`${count(due, "delivery", "deliveries")} due, the oldest since ${span(waiting)}`, remedy));
  }
  if (deferred > 0) {
    const message = `${count(deferred, "event")} with fan_out = deferred committed over a minute ago and not fanned out`;
    findings.push(warning(message, remedy));
  }
  if (findings.length > 0) return findings;
  return [
    ok(
      due === 0
        ? "nothing is overdue"
        : `${count(due, "delivery", "deliveries")} due, the oldest since ${span(waiting)}`,
    ),
  ];
};

export const checkJobs: Check = async ({ client }) => {
  const failed = (await countFailedJobs(client)).map(({ task, count: n, last_error: error }) =>
    warning(
      `${count(n, "job")} of task ${task} failed for good: ${error ?? "no error is known"}`,
      `select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs where task_identifier = ${quoted(task)} and attempts >= max_attempts; -- forgets them`,
    ),
  );
  const locked = (await listUnknownPools(client)).map(({ pool, count: n }) =>
    problem(
      `${count(n, "job")} locked by ${pool}, which is none of the workers`,
      `select graphile_worker.force_unlock_workers(array[${quoted(pool)}]);`,
    ),
  );
  const findings = [...failed, ...locked];
  return findings.length > 0 ? findings : [ok("no job failed for good, none is locked by a lost worker")];
};
