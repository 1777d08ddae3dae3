import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./support/readme.ts";
import { reliabilityTable, scoreboardFile } from "./torture/readme.ts";
import { isPassed, type Scoreboard } from "./torture/scoreboard.ts";

test("the README's figures of reliability are those of the scoreboard, whose run passed", async () => {
  const board: Scoreboard = JSON.parse(await readFile(scoreboardFile, "utf8"));
  const readme = await readFile(join(root, "README.md"), "utf8");
  assert.ok(readme.includes(reliabilityTable(board)), reliabilityTable(board));
  assert.ok(isPassed(board));
  assert.equal(board.profile, "ci");
});
