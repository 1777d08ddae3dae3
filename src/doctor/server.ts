/** The server: what Postrider relies on below its own schema. */
import { connect } from "../database.ts";
import { type Check, ok, problem, skewMsMax, span, warning } from "../finding.ts";
import {
  listHoldingSlots,
  listOldTransactions,
  listSettingOverrides,
  readBackendPid,
  readNotificationQueueUsage,
  readServer,
  readServerClock,
  readServerSettings,
} from "../queries/server.ts";

const queueUsageMax = { warning: 0.1, problem: 0.5 };
const oldTransactionSeconds = 300;
/** What a slot may hold back before the job table, or the disk, suffers from it. */
const slotMax = { transactions: 1_000_000, bytes: 2 ** 30 };

const settings = {
  fsync: { wanted: ["on"], level: problem, why: "a crash of the server can destroy the database" },
  full_page_writes: { wanted: ["on"], level: problem, why: "a crash of the server can destroy the database" },
  synchronous_commit: {
    wanted: ["on", "local", "remote_write", "remote_apply"],
    level: warning,
    why: "a crash of the server forgets its last commits: what was recorded as delivered is delivered again",
  },
  session_replication_role: {
    wanted: ["origin", "local"],
    level: problem,
    why: "triggers do not fire: events are fanned out minutes later, if at all, and nothing is checked",
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

/** What takes a setting of the whole server back; a session's own comes from how it connects. */
const remedyOf = (name: string, setting: string, wanted: string, source: string): string => {
  if (source === "command line") return `Start the server without -c ${name}=${setting}`;
  if (source === "client") return `Take ${name} out of DATABASE_URL (options=...) and out of PGOPTIONS`;
  return `alter system set ${name} = ${wanted}; select pg_reload_conf();`;
};

/** Sources of a setting that `listSettingOverrides` names one by one. */
const isOverride = (source: string): boolean => /^(database|user|database user|global)$/.test(source);

export const checkServerSettings: Check = async ({ client }) => {
  const names = Object.keys(settings);
  const look = (name: string) => settings[name as keyof typeof settings];
  const isWrong = ({ name, setting }: { name: string; setting: string }) =>
    !(look(name).wanted as readonly string[]).includes(setting);
  const found = await readServerSettings(client, names);
  const everywhere = found
    .filter((each) => isWrong(each) && !isOverride(each.source))
    .map(({ name, setting, source }) => {
      const { wanted, level, why } = look(name);
      return level(`${name} is ${setting}: ${why}`, remedyOf(name, setting, wanted[0], source));
    });
  const somewhere = (await listSettingOverrides(client, names))
    .filter(isWrong)
    .map(({ name, setting, whose, reset }) => {
      const { level, why } = look(name);
      return level(`${name} is ${setting} for ${whose}: ${why}`, reset);
    });
  const wrong = [...everywhere, ...somewhere];
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

export const checkReplicationSlots: Check = async ({ client }) => {
  const slots = await listHoldingSlots(client, slotMax.transactions, slotMax.bytes);
  if (slots.length === 0) return [ok("no replication slot holds back much")];
  return slots.map(({ slot, active, transactions, bytes }) => {
    const held = `${(bytes / 2 ** 20).toFixed(0)} MiB of the log and the dead rows of ${transactions} transactions`;
    const name = `'${slot.replaceAll("'", "''")}'`;
    return active
      ? warning(`the replication slot ${slot} is behind: it holds back ${held}`, "select * from pg_stat_replication;")
      : warning(
          `nobody reads the replication slot ${slot}: it holds back ${held}`,
          `select pg_drop_replication_slot(${name}); -- if its reader does not come back`,
        );
  });
};
