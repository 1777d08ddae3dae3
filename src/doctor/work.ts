/** The work: who does it, how far behind it is, and what failed. */
import { type Check, count, ok, problem, skewMsMax, span, warning } from "../finding.ts";
import {
  countDeadLetters,
  countFailedJobs,
  countNewerJobs,
  listStuckJobs,
  listUnknownPools,
  listWorkers,
  readBacklog,
  readJobTable,
} from "../queries/doctor.ts";
import { jobVersion } from "../tasks/deliver.ts";
import { version } from "../version.ts";

const waitSecondsMax = { warning: 60, problem: 900 };
/** A worker takes jobs ahead of time, and a job is 100 deliveries: but not that long. */
const lockedSecondsMax = 3_600;
const deadRowsMax = 100_000;

/** As SQL writes a text. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export const checkWorkers: Check = async ({ client }) => {
  const workers = await listWorkers(client);
  const [live, silent] = [workers.filter((worker) => worker.live), workers.filter((worker) => !worker.live)];
  if (live.length === 0) {
    const message = silent.length === 0 ? "no worker is running" : `no worker is alive, ${silent.length} fell silent`;
    return [problem(`${message}: nothing is delivered`, "postrider work")];
  }
  const beat = Math.max(...live.map(({ beat_seconds: seconds }) => seconds));
  const findings = [ok(`${count(live.length, "worker")} alive, the last beat ${beat} s ago at most`)];
  for (const { name, beat_seconds: seconds } of silent) {
    const message = `the worker ${name} fell silent ${span(seconds)} ago, and no other has taken its work over`;
    findings.push(warning(message, "select outbox.sweep_workers();"));
  }
  const versions = [...new Set(live.map(({ version }) => version))].toSorted();
  if (versions.length > 1) {
    const message = `workers run different versions: ${versions.join(", ")}`;
    findings.push(warning(message, "Deploy the same version everywhere"));
  } else if (versions[0] !== version) {
    const message = `the workers run version ${versions[0]}, this is ${version}`;
    findings.push(warning(message, `npx postrider@${versions[0]} doctor # or deploy ${version}`));
  }
  for (const { name, clock_ahead_ms: ms } of live) {
    if (ms === null || Math.abs(ms) <= skewMsMax.warning) continue;
    const level = Math.abs(ms) > skewMsMax.problem ? problem : warning;
    const message = `the clock of the worker ${name} is ${span(Math.abs(ms) / 1000)} ${ms < 0 ? "behind" : "ahead of"} the server's: signatures carry its time`;
    findings.push(level(message, "chronyc makestep # on that machine; or whatever keeps its time"));
  }
  return findings;
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
  const stuck = (await listStuckJobs(client, lockedSecondsMax)).map(({ name, hostname, pid, count: n }) =>
    warning(
      `${count(n, "job")} locked by the worker ${name} for more than ${span(lockedSecondsMax)}`,
      `kill -TERM ${pid} # on ${hostname}: it gives back what it holds`,
    ),
  );
  const newer = (await countNewerJobs(client, jobVersion)).map(({ version: v, count: n }) =>
    warning(
      `${count(n, "job")} of version ${v} for workers of a newer Postrider: this one (${version}) reads ${jobVersion}`,
      "npm install postrider@latest # where the workers run",
    ),
  );
  const { jobs, size, dead } = await readJobTable(client);
  const dirty =
    dead > deadRowsMax && dead > 2 * jobs
      ? [
          warning(
            `the job table has ${dead} dead rows beside ${count(jobs, "job")}: taking jobs gets slower and slower`,
            "vacuum (analyze) graphile_worker._private_jobs; -- helps once no old transaction is left",
          ),
        ]
      : [];
  const findings = [...failed, ...locked, ...stuck, ...newer, ...dirty];
  if (findings.length > 0) return findings;
  return [ok(`${count(jobs, "job")} in ${size}, none failed for good, none locked by a lost worker`)];
};
