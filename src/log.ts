/** Logs are allow-lists of fields: ids, codes, times and counts. Never a payload, a header, a URL or a secret. */
import { destination, type Logger, pino } from "pino";

export type Log = Logger;
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

const blockBytes = 16_000;
const flushEveryMs = 100;

/**
 * A logger that writes JSON lines to standard output, in blocks so that a line for each attempt costs little.
 * @param level the lowest level that is written
 */
export const createLog = (level: LogLevel): Log =>
  pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ fd: 1, sync: true, minLength: blockBytes, periodicFlush: flushEveryMs }),
  );
