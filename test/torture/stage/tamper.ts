/**
 * Loaded into a worker before anything else (`--import`): changes files of the package as they are loaded. Every change
 * must fit exactly once, or the process ends: a mutant that is none, or another than was meant, would prove nothing.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Edit } from "../stage.ts";
import { misfitCode, variables } from "./tampering.ts";

const give = (problem: string): never => {
  console.error(`tamper: ${problem}`);
  process.exit(misfitCode);
};

const readVariable = (name: string): string => process.env[name] ?? give(`${name} is not set`);

const dist = readVariable(variables.dist);

const apply = (source: string, { file, from, to }: Edit): string => {
  const found = source.split(from).length - 1;
  if (found !== 1) give(`${file} has ${found} times, not once: ${from}`);
  return source.replace(from, () => to);
};

/** The new text of each file that is edited. */
const readEdits = (): ReadonlyMap<string, string> => {
  const edited = new Map<string, string>();
  for (const edit of JSON.parse(readFileSync(readVariable(variables.edits), "utf8")) as Edit[]) {
    const source = edited.get(edit.file) ?? readFileSync(join(dist, edit.file), "utf8");
    edited.set(edit.file, apply(source, edit));
  }
  return edited;
};

const hasCrashPoints = [variables.crashAt, variables.pointsFile].some((name) => process.env[name] !== undefined);
const { instrument } = hasCrashPoints
  ? await import("./crash-hook.ts")
  : { instrument: (_path: string, source: string): string => source };

const edited = readEdits();

registerHooks({
  load(url, context, nextLoad) {
    const path = url.startsWith("file:") ? relative(dist, fileURLToPath(url)) : "..";
    if (path.startsWith("..") || !path.endsWith(".js")) return nextLoad(url, context);
    const source = edited.get(path) ?? readFileSync(join(dist, path), "utf8");
    return { format: "module", source: instrument(path, source), shortCircuit: true };
  },
});
