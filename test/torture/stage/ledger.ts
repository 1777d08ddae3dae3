/** Ledgers: files of JSON lines that only grow. What was written survives the process that wrote it, however it ends. */
import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const newline = 0x0a;
const descriptors = new Map<string, number>();

const readFrom = (descriptor: number, start: number): Buffer => {
  const bytes = Buffer.alloc(Math.max(fstatSync(descriptor).size - start, 0));
  return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, start));
};

/** A line that a killed process has left half-written would spoil the next one: nobody has answered for it, so it goes. */
const openLedger = (file: string): number => {
  const descriptor = openSync(file, "a+");
  ftruncateSync(descriptor, readFrom(descriptor, 0).lastIndexOf(newline) + 1);
  descriptors.set(file, descriptor);
  return descriptor;
};

/** Writes an entry down; it is the kernel's when this returns. A file has one writer at a time. */
export const appendEntry = (file: string, entry: object): void => {
  const line = Buffer.from(`${JSON.stringify(entry)}\n`);
  const written = writeSync(descriptors.get(file) ?? openLedger(file), line);
  if (written !== line.length) throw new Error(`${file}: only ${written} of ${line.length} bytes were written.`);
};

export interface LedgerReader<T> {
  /** The entries since the last call. A half-written last line stays for the next one. */
  readonly read: () => readonly T[];
}

/** Reads a ledger that others write, from its beginning; one that is not there yet is empty. */
export const createLedgerReader = <T>(file: string): LedgerReader<T> => {
  let start = 0;
  const readNew = (): Buffer => {
    const descriptor = openSync(file, "r");
    try {
      return readFrom(descriptor, start);
    } finally {
      closeSync(descriptor);
    }
  };
  return {
    read: () => {
      if (!readdirSync(dirname(file)).includes(basename(file))) return [];
      const bytes = readNew();
      const end = bytes.lastIndexOf(newline);
      if (end < 0) return [];
      start += end + 1;
      return JSON.parse(`[${bytes.toString("utf8", 0, end).replaceAll("\n", ",")}]`) as T[];
    },
  };
};

/** Reads all ledgers of a folder whose names begin so, also those that appear later. */
export const createFolderReader = <T>(folder: string, prefix: string): LedgerReader<T> => {
  const readers = new Map<string, LedgerReader<T>>();
  return {
    read: () => {
      for (const name of readdirSync(folder)) {
        if (!name.startsWith(prefix) || readers.has(name)) continue;
        readers.set(name, createLedgerReader(join(folder, name)));
      }
      return [...readers.values()].flatMap((reader) => reader.read());
    },
  };
};
