/** The package as people install it: packed from this clone, and unpacked into a project of its own. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, symlink } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const root = join(import.meta.dirname, "..", "..", "..");

/** Packed from a copy, so that nothing is left over in dist and nobody else's build is disturbed. */
const copied = ["package.json", "tsconfig.json", "src", "sql", "README.md", "LICENSE"];

/** npm must neither ask the network nor obey the settings of an npm that started us. */
const environmentOf = (folder: string): NodeJS.ProcessEnv => ({
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  HOME: folder,
  npm_config_cache: join(folder, "npm-cache"),
  npm_config_offline: "true",
  npm_config_update_notifier: "false",
});

/** Packs the repository and installs it below the folder, with what it declares to need; @returns where it lies. */
export const packPackage = async (folder: string): Promise<string> => {
  const clone = join(folder, "clone");
  await mkdir(clone, { recursive: true });
  await Promise.all(copied.map((name) => cp(join(root, name), join(clone, name), { recursive: true })));
  await symlink(join(root, "node_modules"), join(clone, "node_modules"));
  const command = ["pack", "--json", "--silent", "--pack-destination", folder];
  const { stdout } = await execute("npm", command, { cwd: clone, env: environmentOf(folder) });
  const [{ filename }] = JSON.parse(stdout);

  const modules = join(folder, "node_modules");
  const packageDir = join(modules, "postrider");
  await mkdir(packageDir, { recursive: true });
  await execute("tar", ["-xzf", join(folder, filename), "-C", packageDir, "--strip-components=1"]);
  await linkDependencies(packageDir, modules);
  return packageDir;
};

const linkDependencies = async (packageDir: string, modules: string): Promise<void> => {
  const { dependencies } = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
};
