/** The server: what Postrider relies on below its own schema. */
import { connect } from "../database.ts";
import { type Check, ok, problem, span, warning } from "../finding.ts";
import {
  listOldTransactions,
  readBackendPid,
  readNotificationQueueUsage,
  readServer,
  readServerClock,
  readServerSettings,
} from "../queries/doctor.ts";

/** Receivers refuse signatures whose time is 5 minutes off; long before that, something is wrong. */
const skewMsMax = { warning: 2_000, problem: 60_000 };
const queueUsageMax = { warning: 0.1, problem: 0.5 };
const oldTransactionSeconds = 300;

const settings = {
  fsync: { wanted: ["on"], level: problem, why: "a crash of the server can destroy the database" },
  full_page_writes: { wanted: ["on"], level: problem, why: "a crash of the server can destroy the database" },
  synchronous_commit: {
    wanted: ["on", "local", "remote_write", "remote_apply"],
    level: warning,
    why: "a crash of the server forgets its last commits: what was recorded as delivered is delivered again",
  },
  autovacuum: { wanted: ["on"], level: warning, why: "the job table grows, and delivering gets slower and slower" },
} as const;

export const checkEncoding: Check = async ({ client }) => {
  const { version, database, encoding } = await readServer(client);
  const server = `Postgres ${version}, database ${database}, encoding ${encoding}`;
  if (encoding === "UTF8") return [ok(server)];
  const remedy = `create database ${database}_utf8 encoding 'UTF8' template template0; -- and move into it`;
  return [problem(`${server}: texts of events and answers need UTF8`, remedy)];
};

export const checkServerSettings: Check = async ({ client }) => {
  const found = await readServerSettings(client, Object.keys(settings));
  const wrong = found.flatMap(({ name, setting }) => {
    const { wanted, level, why } = settings[name as keyof typeof settings];
    if ((wanted as readonly string[]).includes(setting)) return [];
    return [level(`${name} is ${setting}: ${why}`, `alter system set ${name} = on; select pg_reload_conf();`)];
  });
  return wrong.length > 0 ? wrong : [ok(found.map(({ name, setting }) => `${name} = ${setting}`).join(", "))];
};

export const checkClock: Check = async ({ client }) => {
  const before = Date.now();
  const server = await readServerClock(client);
  const skewMs = Math.round(server - (before + Date.now()) / 2);
  const message = `the server's clock is ${Math.abs(skewMs)} ms ${skewMs < 0 ? "behind" : "ahead of"} this machine's`;
  if (Math.abs(skewMs) <= skewMsMax.warning) return [ok(message)];
  const level = Math.abs(skewMs) > skewMsMax.problem ? problem : warning;
  return [
    level(`${message}: signatures carry the worker's time`, "chronyc makestep # on both; or whatever keeps their time"),
  ];
};

/** Two clients that meet the same server process at the same time share it between their transactions. */
export const checkPooler: Check = async ({ client, connectionString }) => {
  const second = await connect(connectionString);
  try {
    const shared = (await readBackendPid(client)) === (await readBackendPid(second));
    if (!shared) return [ok("connections are sessions of their own")];
    const message =
      "the connection goes through a pooler in transaction mode: LISTEN, prepared statements and session locks do not work";
    return [problem(message, "Give workers and migrate a DATABASE_URL past the pooler, or one in session mode")];
  } finally {
    await second.end();
  }
};

export const checkNotificationQueue: Check = async ({ client }) => {
  const usage = await readNotificationQueueUsage(client);
  const message = `the notification queue is ${(usage * 100).toFixed(0)} % full`;
  if (usage <= queueUsageMax.warning) return [ok(message)];
  const level = usage > queueUsageMax.problem ? problem : warning;
  const remedy =
    "select pid, state, xact_start, query from pg_stat_activity where xact_start is not null order by xact_start;";
  return [
    level(`${message}: a session that listens is stuck in a transaction, and once it is full commits fail`, remedy),
  ];
};

export const checkOldTransactions: Check = async ({ client }) => {
  const old = await listOldTransactions(client, oldTransactionSeconds);
  if (old.length === 0) return [ok(`no transaction is older than ${span(oldTransactionSeconds)}`)];
  return old.map(({ what, seconds, end }) =>
    warning(
      `${what} is in a transaction since ${span(seconds)}: finished jobs cannot be vacuumed away, delivering slows down`,
      end,
    ),
  );
};
