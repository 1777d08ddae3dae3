/** A clock for a server that can be shifted while it runs, by libfaketime (Debian's package of that name). */
import { existsSync } from "node:fs";
import { chmod, rename, writeFile } from "node:fs/promises";

const architectures: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };
const library = `/usr/lib/${architectures[process.arch]}-linux-gnu/faketime/libfaketime.so.1`;

/** A process reads the file again in each new second: after that long everybody has. */
export const clockLagMs = 1_000;

export interface ServerClock {
  /** The words before a command line that make the program use this clock. */
  readonly wrapper: readonly string[];
  /** How far it is before the machine's clock from now on. */
  readonly shift: (seconds: number) => Promise<void>;
}

/** A clock whose shift lies in a file; undefined where libfaketime is not installed. */
export const createServerClock = async (file: string): Promise<ServerClock | undefined> => {
  if (!existsSync(library)) return undefined;
  /** Replaced as a whole: it is read at any time, and by another user. */
  const shift = async (seconds: number): Promise<void> => {
    await writeFile(`${file}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
    await chmod(`${file}.new`, 0o644);
    await rename(`${file}.new`, file);
  };
  await shift(0);
  const settings = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: 0,
    DONT_FAKE_MONOTONIC: 1,
    NO_FAKE_STAT: 1,
  };
  return { wrapper: ["env", ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)], shift };
};
