/** DOOR to the doctor's room: what a check is given, and what it finds. */
import type { ClientBase } from "pg";
import type { Config } from "./config.ts";

/** From good to bad. Only a problem makes an installation unhealthy. */
export const levels = ["ok", "warning", "problem"] as const;
export type Level = (typeof levels)[number];

/** Receivers refuse signatures whose time is 5 minutes off; long before that, something is wrong. */
export const skewMsMax = { warning: 2_000, problem: 60_000 };

/** One thing that was looked at. */
export interface Finding {
  readonly level: Level;
  readonly message: string;
  /** The SQL or command that mends it. */
  readonly remedy?: string;
}

/** What is looked at. */
export interface Patient {
  readonly client: ClientBase;
  readonly connectionString: string;
  readonly config: Config;
}

/** Looks at one matter; changes nothing. */
export type Check = (patient: Patient) => Promise<readonly Finding[]>;

export const ok = (message: string): Finding => ({ level: "ok", message });
export const warning = (message: string, remedy?: string): Finding => ({
  level: "warning",
  message,
  ...(remedy !== undefined && { remedy }),
});
export const problem = (message: string, remedy?: string): Finding => ({
  ...warning(message, remedy),
  level: "problem",
});

/** A number and its noun: `1 delivery`, `3 deliveries`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** A time span in the largest unit that it fills: `45 s`, `3 min`, `2 h`, `5 days`. */
export const span = (seconds: number): string => {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
};
