/** The version of this package, and which of two versions is newer. */
import { readFileSync } from "node:fs";

/** The version of this package. */
export const version: string = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;

/** Whether a version is newer than another: `0.10.0` than `0.9.1`. Pre-releases are not told from what they precede. */
export const isNewer = (version: string, than: string): boolean => {
  const [left = "", right = ""] = [version, than].map((text) => text.replace(/[-+].*$/, ""));
  return left.localeCompare(right, "en", { numeric: true }) > 0;
};
