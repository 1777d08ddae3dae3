/** Assembles a {@link Stage}: a database of its own on a cluster, and everything around it. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { cleanEnvironment } from "../support/command.ts";
import { brokerMissing } from "../support/rabbitmq.ts";
import { ask } from "../support/server.ts";
import { createRandom } from "./random.ts";
import { openTortureBroker } from "./stage/broker.ts";
import { openCanaries } from "./stage/canaries.ts";
import { openFleet } from "./stage/fleet.ts";
import { openLine } from "./stage/line.ts";
import { openNames } from "./stage/names.ts";
import { openProducers } from "./stage/producers.ts";
import { openSinks } from "./stage/sinks.ts";
import type { Admin, Cluster, Stage } from "./stage.ts";

const templateName = "torture_template";

const urlOf = (serverUrl: string, database: string, port?: number): string => {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  if (port !== undefined) url.port = String(port);
  return url.href;
};

/** A migrated database that others are copied from, on its cluster. */
export interface Template {
  readonly cluster: Cluster;
  readonly serverUrl: string;
  /** "Postgres 18.4". */
  readonly postgres: string;
}

/** Migrates a new database with the packed package. */
export const openTemplate = async (
  cluster: Cluster & { readonly serverUrl: string },
  packageDir: string,
): Promise<Template> => {
  const { serverUrl } = cluster;
  await ask(serverUrl, `create database ${templateName}`);
  const url = urlOf(serverUrl, templateName);
  const env = cleanEnvironment({ DATABASE_URL: url });
  await promisify(execFile)(process.execPath, [join(packageDir, "src", "launch.mjs"), "migrate"], { env });
  await ask(url, "create schema shop");
  await ask(url, "create table shop.orders (id bigint generated always as identity primary key, mark text not null)");
  const [row] = await ask(serverUrl, "select current_setting('server_version') as version");
  return { cluster, serverUrl, postgres: `Postgres ${row?.version}` };
};

const retryPauseMs = 100;
const adminPatienceMs = 120_000;

/** Whether the database may answer if it is asked again; what it refuses for good has an SQLSTATE of its own. */
const isPassing = (error: unknown): boolean => {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|25006|40|53|55P03|57|58)/.test(code);
};

const openAdmin = (url: string): Admin & AsyncDisposable => {
  const pool = new pg.Pool({ connectionString: url, max: 6, connectionTimeoutMillis: 5_000, query_timeout: 60_000 });
  pool.on("error", () => {});
  return {
    query: async <Row>(sql: string, parameters: readonly unknown[] = []) => {
      for (const startedAt = performance.now(); ; await pause(retryPauseMs)) {
        try {
          return (await pool.query(sql, [...parameters])).rows as Row[];
        } catch (error) {
          if (!isPassing(error) || performance.now() - startedAt > adminPatienceMs) throw error;
        }
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
};

export interface StageOptions {
  /** Of the database and the stage's own folder. */
  readonly name: string;
  readonly folder: string;
  readonly packageDir: string;
  readonly isNetworkPrivate: boolean;
  readonly template: Template;
  readonly seed: number;
  readonly withBroker?: boolean;
  /** Over the environment of the workers. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Opens a stage without sinks and workers; all of it ends when it is disposed of, but not the cluster. */
export const openStage = async (options: StageOptions): Promise<Stage> => {
  const { name, packageDir, isNetworkPrivate, template, seed, withBroker = false } = options;
  const { serverUrl } = template;
  const folder = join(options.folder, name);
  await using opened = new AsyncDisposableStack();
  await mkdir(folder, { recursive: true });
  // Copied by WAL, a sequence that the template has used gives some numbers twice when Postgres crashes soon afterwards.
  await ask(serverUrl, `create database ${name} template ${templateName} strategy file_copy`);
  const url = urlOf(serverUrl, name);
  await ask(url, "select outbox.confirm_instance()");
  const cluster: Cluster = Object.create(template.cluster, { url: { value: url } });

  const admin = opened.use(openAdmin(url));
  const line = opened.use(await openLine(cluster.port));
  const producerLine = opened.use(await openLine(cluster.port));
  const names = opened.use(await openNames());
  const broker =
    withBroker && brokerMissing === undefined
      ? opened.use(await openTortureBroker({ folder, isNetworkPrivate }))
      : undefined;
  const sinks = opened.use(await openSinks({ folder, admin, isNetworkPrivate, names, broker }));
  const canaries = isNetworkPrivate ? opened.use(await openCanaries({ folder, ports: sinks.ports })) : undefined;
  const producers = opened.use(await openProducers({ folder, databaseUrl: urlOf(serverUrl, name, producerLine.port) }));
  const key = randomBytes(32).toString("base64");
  const databaseUrlOfWorkers = urlOf(serverUrl, name, line.port);
  const fleet = opened.use(
    openFleet({
      packageDir,
      folder,
      databaseUrl: databaseUrlOfWorkers,
      env: {
        POSTRIDER_KEYS: `k1:${key}`,
        POSTRIDER_ALLOW_HTTP: "true",
        POSTRIDER_DNS_SERVERS: names.address,
        NODE_EXTRA_CA_CERTS: sinks.authorityFile,
        ...(isNetworkPrivate ? {} : { POSTRIDER_ALLOW_NETWORKS: "127.0.0.0/8" }),
        ...options.env,
      },
    }),
  );
  const parts = opened.move();
  return {
    folder,
    packageDir,
    databaseUrlOfWorkers,
    isNetworkPrivate,
    random: createRandom(seed),
    cluster,
    admin,
    fleet,
    line,
    producerLine,
    sinks,
    producers,
    names,
    broker,
    canaries: () => [...(canaries?.read() ?? []), ...sinks.readCanaries()],
    get secrets() {
      return [key, ...sinks.secrets()];
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
