/** The README taken apart, so that tests can hold it to its word. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..", "..");
export const readme = readFileSync(join(root, "README.md"), "utf8");

const fences = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
/** What stands outside of code blocks. */
export const prose = fences.reduce((text, [block]) => text.replace(block, ""), readme);

/** The code blocks of a language, in order. */
export const blocks = (language: string): string[] =>
  fences.filter(([, name]) => name === language).map(([, , text = ""]) => text);

/** The only code block of a language. */
export const block = (language: string): string => only(`a block of ${language}`, blocks(language));

/** Whatever stands in code type. */
export const codeIn = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);

/** The cells of a row; a bar in code type is no border. */
const cellsOf = (line: string): string[] =>
  (line.match(/(?:`[^`]*`|[^`|])*\|/g) ?? []).slice(1).map((cell) => cell.slice(0, -1).trim());

/** The rows of the only table whose heads are these. */
export function table(...heads: readonly string[]): string[][] {
  const lines = prose.split("\n");
  const starts = lines.flatMap((line, index) => (String(cellsOf(line)) === String(heads) ? [index] : []));
  const start = only(`a table of ${heads.join(", ")}`, starts);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
  return lines.slice(start + 2, end).map(cellsOf);
}

/** The only sentence, or line of a list, that the pattern finds. */
export const passage = (pattern: RegExp): string => {
  const [found] = only(String(pattern), [...prose.matchAll(new RegExp(pattern, `${pattern.flags}g`))]);
  return found;
};

/** The variables that the config reads, as they stand in its source. */
export const environmentNames: readonly string[] = [
  ...readFileSync(join(root, "src", "config.ts"), "utf8").matchAll(/^ {2}([A-Z][A-Z_]+): /gm),
].map(([, name = ""]) => name);

/** A folder for what the README's commands write; it is removed at the end. */
export async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), `postrider_test_${process.pid}_`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) };
}

function only<T>(what: string, [found, ...others]: readonly T[]): T {
  if (found !== undefined && others.length === 0) return found;
  throw new Error(`The README has ${found === undefined ? "none" : "several"} of: ${what}`);
}
