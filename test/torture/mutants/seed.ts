/** Seeds the defect of a mutant. One that does not fit any more fails the run: it would prove nothing. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Admin, Stage } from "../stage.ts";
import type { FunctionEdit, Mutant } from "./mutant.ts";
import { until } from "./story.ts";

interface Replacement {
  readonly from: string;
  readonly to: string;
}

const replaceOnce = (mutant: Mutant, where: string, text: string, { from, to }: Replacement): string => {
  const found = text.split(from).length - 1;
  if (found === 1) return text.replace(from, () => to);
  throw new Error(`the edit of mutant ${mutant.name} no longer applies: ${where} has ${found} times: ${from}`);
};

/** @throws Error when an edit of the package's code does not fit. Workers apply them when they start. */
export const checkEdits = async (mutant: Mutant, packageDir: string): Promise<void> => {
  for (const [file, edits] of Map.groupBy(mutant.edits ?? [], (edit) => edit.file)) {
    const text = await readFile(join(packageDir, "dist", file), "utf8");
    edits.reduce((edited, edit) => replaceOnce(mutant, file, edited, edit), text);
  }
};

const editFunction = async (mutant: Mutant, { query }: Admin, { name, replace }: FunctionEdit): Promise<void> => {
  const [row] = await query<{ text: string }>("select pg_get_functiondef($1::regprocedure) as text", [name]);
  await query(replace.reduce((text, each) => replaceOnce(mutant, name, text, each), row?.text ?? ""));
};

const set = async (admin: Admin, name: string, value: string): Promise<void> => {
  await admin.query(`alter system set ${name} = '${value}'`);
  await admin.query("select pg_reload_conf()");
  await until(admin, "current_setting($1) = $2", [name, value]);
};

/** Seeds what lies in the database and its server. @throws Error when an edit of a function does not fit */
export const seed = async (mutant: Mutant, { admin }: Stage): Promise<void> => {
  for (const each of mutant.sql ?? []) {
    if (typeof each === "string") await admin.query(each);
    else await editFunction(mutant, admin, each);
  }
  for (const [name, value] of Object.entries(mutant.settings ?? {})) await set(admin, name, value);
};
