/** How a worker is told what to change of the package: written by the fleet, read by `tamper.ts` in the worker. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Edit } from "../stage.ts";

/** Environment variables. */
export const variables = {
  /** The folder with the package's built files. */
  dist: "TORTURE_DIST",
  /** A JSON file with a list of {@link Edit}s. */
  edits: "TORTURE_EDITS",
  /** The crash point, counted from 1, at which the process kills itself. */
  crashAt: "TORTURE_CRASH_AT",
  /** A file for the points that were reached. */
  pointsFile: "TORTURE_POINTS_FILE",
} as const;

/** How a process ends whose edits do not fit. */
export const misfitCode = 70;

export interface Tampering {
  readonly packageDir: string;
  /** For the list of edits. */
  readonly folder: string;
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly crashAt?: number | undefined;
}

const hook = pathToFileURL(join(import.meta.dirname, "tamper.ts")).href;

/** The environment of a process of the package that is tampered with. */
export const tamperingEnvironment = async (tampering: Tampering): Promise<Record<string, string>> => {
  const { packageDir, folder, name, edits, crashAt } = tampering;
  const editsFile = join(folder, `${name}.edits.json`);
  await mkdir(folder, { recursive: true });
  await writeFile(editsFile, JSON.stringify(edits));
  return {
    NODE_OPTIONS: `--import ${hook}`,
    [variables.dist]: join(packageDir, "dist"),
    [variables.edits]: editsFile,
    ...(crashAt === undefined ? {} : { [variables.crashAt]: String(crashAt) }),
  };
};
