/** A disk of limited size in memory, which can be full: `await using disk = await mountDisk(folder)`. */
import { execFile } from "node:child_process";
import { mkdir, statfs } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

const diskBytes = 3 * 1024 ** 3;
/** What is written while the disk shrinks makes it too small for its contents. */
const shrinkTriesMax = 100;
const shrinkPauseMs = 10;

export interface Disk extends AsyncDisposable {
  /** Makes it as small as its contents. */
  readonly fill: () => Promise<void>;
  /** Gives it its size again. */
  readonly free: () => Promise<void>;
}

/** Mounts it on a folder, in a mount namespace of our own. */
export const mountDisk = async (folder: string): Promise<Disk> => {
  await mkdir(folder, { recursive: true });
  await execute("mount", ["-t", "tmpfs", "-o", `size=${diskBytes},mode=700`, "torture", folder]);
  // With the source named, mount adds none of the present options: in a user namespace the owner is none that it may set.
  const resize = (bytes: number) => execute("mount", ["-t", "tmpfs", "-o", `remount,size=${bytes}`, "torture", folder]);
  const fill = async (): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const { blocks, bfree, bsize } = await statfs(folder);
      try {
        await resize((blocks - bfree) * bsize);
        return;
      } catch (error) {
        if (tries === shrinkTriesMax) throw error;
        await pause(shrinkPauseMs);
      }
    }
  };
  return {
    fill,
    free: async () => void (await resize(diskBytes)),
    [Symbol.asyncDispose]: async () => void (await execute("umount", ["--lazy", folder])),
  };
};
