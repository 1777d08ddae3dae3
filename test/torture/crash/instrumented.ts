/** A copy of the installed package, with fail points in every file that waits for anything. */
import { cp, glob, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { instrument } from "../stage/crash-hook.ts";

/** Makes the copy beside the package, where it finds the same dependencies. */
export const instrumentPackage = async (packageDir: string): Promise<string> => {
  const copy = `${packageDir}-with-fail-points`;
  const dist = join(copy, "dist");
  await cp(packageDir, copy, { recursive: true, verbatimSymlinks: true });
  for await (const path of glob("**/*.js", { cwd: dist })) {
    const file = join(dist, path);
    await writeFile(file, instrument(path, await readFile(file, "utf8")));
  }
  return copy;
};
