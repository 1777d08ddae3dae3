import assert from "node:assert/strict";
import { test } from "node:test";
import { scenarioNames } from "./scenarios/run.ts";

for (const name of await scenarioNames()) {
  test(`the scenario ${name} holds what it promises, in its small size`, async () => {
    const { run } = await import(`./scenarios/${name}.ts`);
    const figures = await run({ serverUrl: process.env.POSTRIDER_TEST_SERVER ?? "", smoke: true });
    assert.ok(Object.keys(figures).length > 0);
  });
}
