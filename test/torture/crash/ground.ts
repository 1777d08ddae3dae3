/** What all cells share: a migrated database to copy, the package with fail points, a receiver, and a name for it. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanEnvironment } from "../../support/command.ts";
import { startDns } from "../../support/dns.ts";
import { ask } from "../../support/server.ts";
import { type Cell, openCell, urlOf } from "./cell.ts";
import { instrumentPackage } from "./instrumented.ts";
import { type CrashReceiver, openCrashReceiver } from "./receiver.ts";

const receiverName = "receiver.torture.test";

export interface GroundOptions {
  readonly packageDir: string;
  /** Superuser, to any database. */
  readonly serverUrl: string;
  readonly folder: string;
}

export interface Ground extends AsyncDisposable {
  readonly folder: string;
  readonly receiver: CrashReceiver;
  readonly openCell: () => Promise<Cell>;
}

export const openGround = async ({ packageDir, serverUrl, folder: parent }: GroundOptions): Promise<Ground> => {
  await using opened = new AsyncDisposableStack();
  const run = `crash_${randomBytes(3).toString("hex")}`;
  const folder = join(parent, run);
  await mkdir(folder, { recursive: true });
  const template = `${run}_template`;
  await ask(serverUrl, `create database ${template}`);
  opened.defer(async () => void (await ask(serverUrl, `drop database ${template} with (force)`)));
  const migration = cleanEnvironment({ DATABASE_URL: urlOf(serverUrl, template) });
  await promisify(execFile)(process.execPath, [join(packageDir, "src", "launch.mjs"), "migrate"], { env: migration });

  const receiver = opened.use(await openCrashReceiver());
  const dns = opened.use(await startDns({ [receiverName]: { a: ["127.0.0.1"] } }));
  const cellOptions = {
    serverUrl,
    template,
    folder,
    packageDir: await instrumentPackage(packageDir),
    receiverUrl: `http://${receiverName}:${receiver.port}/`,
    env: {
      POSTRIDER_ALLOW_HTTP: "true",
      POSTRIDER_ALLOW_NETWORKS: "127.0.0.0/8",
      POSTRIDER_DNS_SERVERS: dns.address,
      POSTRIDER_KEYS: `k1:${randomBytes(32).toString("base64")}`,
      POSTRIDER_LOG_LEVEL: "debug",
      NODE_COMPILE_CACHE: join(folder, "compiled"),
    },
  };
  let cells = 0;
  const parts = opened.move();
  return {
    folder,
    receiver,
    openCell: () => {
      cells += 1;
      return openCell({ ...cellOptions, name: `${run}_${cells}` });
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
