import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { failureCodes } from "../src/destination.ts";
import { codeOf, errorCodes, messageOf, PostriderError } from "../src/errors.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const tableLines = readme.split("\n").filter((line) => line.startsWith("| "));
/** What stands in the README's tables in code type. */
const named = new Set(tableLines.flatMap((line) => [...line.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word)));
/** Error codes by what the README says they mean. */
const meanings = new Map(
  tableLines.flatMap((line) => {
    const [, code, meaning] = /^\| `(POSTRIDER_[A-Z_]+)` \| (.+) \|$/.exec(line) ?? [];
    return code === undefined ? [] : [[code, meaning] as const];
  }),
);

test("the README's table of errors is the one of the source", () => {
  for (const [code, meaning] of Object.entries(errorCodes)) assert.equal(meanings.get(code), meaning, code);
});

test("each code of a failed attempt stands in a table of the README", () => {
  assert.deepEqual(
    failureCodes.filter((code) => !named.has(code)),
    [],
  );
});

test("each SQLSTATE of ours stands in a table of the README", () => {
  const folder = new URL("../sql/functions/", import.meta.url);
  const text = readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), "utf8"))
    .join("\n");
  const states = new Set([...text.matchAll(/errcode = '(PR\d{3})'/g)].map(([, state = ""]) => state));
  assert.ok(states.has("PR001"));
  assert.deepEqual(
    [...states].filter((state) => !named.has(state)),
    [],
  );
});

test("each error code is thrown somewhere", () => {
  const folder = new URL("../src/", import.meta.url);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => /\.ts$/.test(name) && name !== "errors.ts",
  );
  const text = names.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
  assert.deepEqual(
    Object.keys(errorCodes).filter((code) => !text.includes(`"${code}"`)),
    [],
  );
});

test("an error keeps its code, its message and its cause", () => {
  const cause = new Error("below");
  const error = new PostriderError("POSTRIDER_CONFIG_INVALID", "POSTRIDER_KEYS: no", { cause });
  assert.deepEqual(
    [error.name, error.code, error.message, error.cause],
    ["PostriderError", "POSTRIDER_CONFIG_INVALID", "POSTRIDER_KEYS: no", cause],
  );
  assert.ok(error instanceof Error);
});

test("whatever was thrown has a message, and a code if it carries one", () => {
  assert.deepEqual([messageOf(new Error("a")), messageOf("b"), messageOf(undefined)], ["a", "b", "undefined"]);
  const codes = [Object.assign(new Error("a"), { code: "42501" }), { code: 5 }, null, "x"].map(codeOf);
  assert.deepEqual(codes, ["42501", undefined, undefined, undefined]);
});
