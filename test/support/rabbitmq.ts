/**
 * A real RabbitMQ in a private folder, on free ports of 127.0.0.1, for any user: `await using broker = await
 * startBroker()`. Needs Debian's package rabbitmq-server; nothing outside the folder is read or written.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ChannelModel, connect } from "amqplib";
import { cleanEnvironment, type RunningCommand, startProgram } from "./command.ts";

const binDir = "/usr/lib/rabbitmq/bin";

/** Why tests with a real broker cannot run here, if so. */
export const brokerMissing = existsSync(binDir)
  ? undefined
  : "RabbitMQ is not installed: apt-get install --no-install-recommends rabbitmq-server";

export interface BrokerOptions {
  /** Further lines of rabbitmq.conf. */
  readonly settings?: readonly string[];
}

export interface Broker extends AsyncDisposable {
  readonly port: number;
  /** An independent client, logged in as the administrator. */
  readonly client: () => Promise<ChannelModel>;
  /** Runs rabbitmqctl; about 1.5 s. */
  readonly control: (...args: readonly string[]) => Promise<string>;
  /** Kills it with SIGKILL, at once; what was confirmed is on disk. */
  readonly kill: () => Promise<void>;
  /** Starts it again, on the same port, after a kill. */
  readonly start: () => Promise<void>;
}

/** A port that nobody listens on. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" ? (address?.port ?? 0) : 0;
};

interface Ports {
  readonly amqp: number;
  readonly distribution: number;
  readonly epmd: number;
}

const environment = (folder: string, ports: Ports) => ({
  LANG: "C.UTF-8",
  HOME: folder,
  RABBITMQ_NODENAME: `postrider${ports.amqp}@localhost`,
  RABBITMQ_MNESIA_BASE: join(folder, "data"),
  RABBITMQ_LOG_BASE: join(folder, "log"),
  RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
  RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "plugins"),
  RABBITMQ_CONF_ENV_FILE: join(folder, "none"),
  RABBITMQ_PID_FILE: join(folder, "pid"),
  RABBITMQ_DIST_PORT: String(ports.distribution),
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
  ERL_EPMD_PORT: String(ports.epmd),
  ERL_EPMD_ADDRESS: "127.0.0.1",
});

const writeConfig = async (folder: string, { amqp }: Ports, settings: readonly string[]): Promise<void> => {
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${amqp}`,
    "log.console = false",
    "vm_memory_high_watermark.relative = 0.4",
    "disk_free_limit.absolute = 1MB",
    ...settings,
  ];
  await Promise.all(["data", "log"].map((name) => mkdir(join(folder, name))));
  await writeFile(join(folder, "rabbitmq.conf"), `${lines.join("\n")}\n`);
  await writeFile(join(folder, "plugins"), "[].");
};

/** Starts a broker, in 4 to 10 seconds. */
export const startBroker = async (options: BrokerOptions = {}): Promise<Broker> => {
  if (brokerMissing !== undefined) throw new Error(brokerMissing);
  const folder = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
  const ports = { amqp: await freePort(), distribution: await freePort(), epmd: await freePort() };
  const env = environment(folder, ports);
  await writeConfig(folder, ports, options.settings ?? []);
  let server: RunningCommand | undefined;
  let pid = 0;

  const start = async (): Promise<void> => {
    server = startProgram(join(binDir, "rabbitmq-server"), [], { env });
    await server.until(/completed with \d+ plugins/);
    // The program is a script that waits for the broker, which has left its number.
    pid = Number(await readFile(join(folder, "pid"), "utf8"));
  };
  const kill = async (): Promise<void> => {
    if (pid !== 0) process.kill(pid, "SIGKILL");
    pid = 0;
    await server?.ended;
  };
  const control = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(join(binDir, "rabbitmqctl"), ["--quiet", ...args], { env: cleanEnvironment(env) }))
      .stdout;
  const dispose = async (): Promise<void> => {
    await kill();
    await server?.[Symbol.asyncDispose]();
    await promisify(execFile)("epmd", ["-port", String(ports.epmd), "-kill"]).catch(() => {});
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    port: ports.amqp,
    client: () => connect(`amqp://guest:guest@127.0.0.1:${ports.amqp}`),
    control,
    kill,
    start,
    [Symbol.asyncDispose]: dispose,
  };
};
