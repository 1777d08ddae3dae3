/** How many deliveries are claimed at once, and when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClaiming } from "../src/claiming.ts";
import type { Weight } from "../src/fair-queue.ts";

/** Claims from so many that wait, all of them with their turn, and remembers what was asked for. */
const claimFrom = async (waiting: Record<Weight, number>, free: () => number = () => 680) => {
  const asked: [Weight, number][] = [];
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const claiming = createClaiming({
    inFlightMax: 680,
    free,
    ready: (weight) => waiting[weight],
    claim: async (weight, countMax) => {
      const count = Math.min(countMax, waiting[weight]);
      asked.push([weight, count]);
      waiting[weight] -= count;
      if (waiting.light + waiting.heavy === 0) resolve();
      return count;
    },
  });
  claiming.more();
  await done;
  return asked;
};

test("heavy flows are claimed for in large batches where no light ones come", async () => {
  assert.deepEqual(await claimFrom({ light: 0, heavy: 1_200 }), [
    ["heavy", 500],
    ["heavy", 500],
    ["heavy", 200],
  ]);
});

test("while light flows come, heavy ones are claimed for in small batches", async () => {
  const asked = await claimFrom({ light: 3, heavy: 250 });
  assert.deepEqual(asked, [
    ["light", 3],
    ["heavy", 100],
    ["heavy", 100],
    ["heavy", 50],
  ]);
});

test("where places are scarce, a claim waits a moment for more of them, and then takes what there is", async () => {
  let free = 1;
  const startedAt = performance.now();
  const asked = await claimFrom({ light: 2, heavy: 0 }, () => free++);
  assert.deepEqual(asked, [["light", 2]]);
  assert.ok(performance.now() - startedAt >= 9, "it waited");
});
