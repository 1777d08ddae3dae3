/** A copy of the installed package, with fail points in every file that waits for anything. */
import { cp, glob, readFile, writeFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { instrument, runtimeUrl } from "../stage/crash-hook.ts";

/** Makes the copy beside the package, where it finds the same dependencies. */
export const instrumentPackage = async (packageDir: string): Promise<string> => {
  const copy = `${packageDir}-with-fail-points`;
  const dist = join(copy, "dist");
  const runtime = join(copy, "crash-runtime.js");
  await cp(packageDir, copy, { recursive: true, verbatimSymlinks: true });
  await writeFile(runtime, stripTypeScriptTypes(await readFile(fileURLToPath(runtimeUrl), "utf8")));
  for await (const path of glob("**/*.js", { cwd: dist })) {
    const file = join(dist, path);
    await writeFile(file, instrument(path, await readFile(file, "utf8"), pathToFileURL(runtime).href));
  }
  return copy;
};
