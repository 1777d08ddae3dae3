/** A real worker in this process: `await using worker = await startTestWorker(db);` */
import { pino } from "pino";
import { parseAllowedNetworks } from "../../src/addresses.ts";
import { type Config, readConfig } from "../../src/config.ts";
import { startWorker, type Worker, type WorkerOptions } from "../../src/worker.ts";
import { Arrivals } from "./arrivals.ts";
import type { TestDatabase } from "./database.ts";

/** A line of the worker's log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestWorkerOptions extends Omit<WorkerOptions, "config" | "log"> {
  readonly config?: Partial<Config>;
}

export interface TestWorker extends Worker {
  /** What it has logged, text by text as it was written. */
  readonly written: readonly string[];
  readonly lines: readonly LogLine[];
  /** The first line, past or to come, that satisfies the predicate. */
  readonly logged: (predicate: (line: LogLine) => boolean) => Promise<LogLine>;
}

/** What a worker of a test may do that others may not: speak http, and reach this machine. */
export const testConfig = (config: Partial<Config> = {}): Config => ({
  ...readConfig({}),
  allowHttp: true,
  allowedNetworks: parseAllowedNetworks("127.0.0.0/8"),
  ...config,
});

/** Starts a worker on a test's database. It stops, and must leave nothing locked, when it is disposed of. */
export async function startTestWorker(
  db: Pick<TestDatabase, "url">,
  options: TestWorkerOptions = {},
): Promise<TestWorker> {
  const written: string[] = [];
  const lines = new Arrivals<LogLine>();
  const write = (text: string): void => {
    written.push(text);
    lines.add(JSON.parse(text));
  };
  const log = pino({ level: "debug", base: null }, { write });
  const worker = await startWorker({ connectionString: db.url, ...options, config: testConfig(options.config), log });
  return {
    stop: worker.stop,
    written,
    lines: lines.items,
    logged: (predicate) => lines.until(predicate),
    async [Symbol.asyncDispose]() {
      await worker.stop();
      lines.close();
    },
  };
}
