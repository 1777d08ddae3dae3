/** Who gets the next place, and what is given away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FairQueue, tickMs, type Weight } from "../src/fair-queue.ts";

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${name}${n}`);

/** Takes while there are places and turns, of light flows first if no weight is given; what is taken holds its place. */
const takeAll = (queue: FairQueue<string>, places: number, held = 0, weight?: Weight): string[] => {
  const taken: string[] = [];
  while (held + taken.length < places) {
    const free = places - held - taken.length;
    const item = queue.shift(free, weight ?? "light") ?? queue.shift(free, weight ?? "heavy");
    if (item === undefined) break;
    taken.push(item);
  }
  return taken;
};

/** Takes all that a single flow may hold, and waits until it is slow. */
const slowQueue = (groups: readonly string[][]): FairQueue<string> => {
  const queue = new FairQueue<string>();
  for (const group of groups) queue.add("slow", group);
  takeAll(queue, 16);
  for (let n = 0; n < 10; n += 1) queue.tick();
  return queue;
};

test("flows take turns, and each keeps its order", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 3));
  queue.add("a", ["a3"]);
  queue.add("b", ["b0"]);
  queue.add("c", numbered("c", 2));
  assert.equal(queue.size, 7);
  assert.deepEqual(takeAll(queue, 100), ["a0", "b0", "c0", "a1", "c1", "a2", "a3"]);
  assert.equal(queue.size, 0);
});

test("a flow alone gets three quarters of the places, and the next flow finds some free", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 1_000));
  assert.equal(takeAll(queue, 512).length, 384);
  assert.equal(queue.ready("heavy"), 0);
  queue.add("b", numbered("b", 1_000));
  assert.equal(takeAll(queue, 512, 384).length, 96);
});

test("however many flows hold their shares without an end, one that holds nothing gets the last place", () => {
  const queue = new FairQueue<string>();
  for (const name of numbered("flow", 50)) queue.add(name, numbered(name, 100));
  const held = takeAll(queue, 512).length;
  queue.add("new", ["new0", "new1"]);
  assert.ok(held < 512, `${held} places are held`);
  assert.deepEqual(takeAll(queue, 512, held)[0], "new0");
});

test("a flow at its share goes on when half of its places are free again, in one batch", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 1_000));
  let held = takeAll(queue, 512).length;
  while (queue.ready("heavy") === 0) queue.ended("a", 512 - --held);
  assert.equal(held, 192);
  assert.equal(takeAll(queue, 512, held).length, 192);
});

test("a flow that waits at its share for long gives away what came last, but for its reserve", () => {
  const queue = slowQueue([numbered("a", 15), ["b0", "b1"], ["c0"]]);
  const shed = queue.shed(1);
  assert.deepEqual(
    shed.map(({ items }) => items),
    [["c0"], ["b0", "b1"]],
  );
  assert.equal(queue.size, 3);
  assert.deepEqual(queue.shed(1), []);
});

test("slow flows share the reserve", () => {
  const queue = slowQueue([numbered("a", 15), ["b0"]]);
  queue.add("other", numbered("d", 15));
  queue.add("other", ["e0"]);
  takeAll(queue, 16, 12);
  for (let n = 0; n < 10; n += 1) queue.tick();
  assert.deepEqual(
    queue.shed(2).map(({ items }) => items[0]),
    ["b0", "e0"],
  );
});

test("a flow that is not at its share for long gives nothing away, whatever the time", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 15));
  takeAll(queue, 16);
  for (let n = 0; n < 9; n += 1) queue.tick();
  assert.deepEqual(queue.shed(0), []);
  queue.tick();
  assert.equal(queue.shed(0).length, 1);
});

test("where haste is asked for, a flow without an answer gives away after a tenth of a second", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 15));
  takeAll(queue, 16);
  queue.tick();
  assert.deepEqual(queue.shed(0, true), []);
  queue.tick();
  assert.deepEqual(queue.shed(0), []);
  assert.equal(queue.shed(0, true).length, 1);
  queue.add("a", ["a15"]);
  queue.ended("a", 5);
  assert.deepEqual(queue.shed(0, true), []);
});

test("what is given away comes back after 2 seconds at least, each later than the one before, at the flow's pace", () => {
  const queue = slowQueue([numbered("a", 15), numbered("b", 100)]);
  const delays = queue.shed(0).flatMap(({ delaysMs }) => delaysMs);
  assert.equal(delays.length, 103);
  assert.ok(Math.min(...delays) >= 2_000);
  assert.deepEqual(
    delays,
    delays.toSorted((a, b) => a - b),
  );
  // 12 are under way for 10 ticks: 1.2 a tick.
  assert.ok(Math.abs(Math.max(...delays) - 2_000 - (103 / 1.2) * tickMs) <= tickMs);
});

test("nothing comes back later than after 10 minutes", () => {
  const queue = slowQueue([numbered("a", 15), numbered("b", 100_000)]);
  assert.equal(Math.max(...queue.shed(0).flatMap(({ delaysMs }) => delaysMs)), 600_000);
});

test("without limits everything is taken", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 1_000));
  takeAll(queue, 512);
  queue.unlimit();
  assert.equal(takeAll(queue, 10_000).length, 616);
});

test("a flow with more than a job's worth waiting is heavy until all of it is taken", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 100));
  queue.add("b", ["b0"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [101, 0]);
  queue.add("a", ["a100"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [1, 101]);
  assert.deepEqual(takeAll(queue, 1_000, 0, "light"), ["b0"]);
  for (let n = 0; n < 90; n += 1) queue.shift(1_000, "heavy");
  queue.add("a", ["a101"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [0, 12]);
  for (let n = 0; n < 12; n += 1) queue.shift(1_000, "heavy");
  queue.add("a", ["a102"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [1, 0]);
});

test("a flow that was claimed for in vain is heavy, until a claim brings something and all of it is taken", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 3));
  queue.add("b", numbered("b", 2));
  assert.deepEqual(takeAll(queue, 2), ["a0", "b0"]);
  queue.claimed("a", true);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [1, 2]);
  queue.add("a", ["a3"]);
  assert.deepEqual(takeAll(queue, 100, 0, "light"), ["b1"]);
  assert.deepEqual(takeAll(queue, 100, 0, "heavy"), ["a1", "a2", "a3"]);
  queue.add("a", ["a4"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [0, 1]);
  queue.claimed("a", false);
  assert.deepEqual(takeAll(queue, 100, 0, "heavy"), ["a4"]);
  queue.add("a", ["a5"]);
  assert.deepEqual(takeAll(queue, 100, 0, "light"), ["a5"]);
  assert.deepEqual([queue.ready("light"), queue.ready("heavy")], [0, 0]);
});

test("a flow that was claimed for in vain while it was at its share is heavy when it goes on", () => {
  const queue = new FairQueue<string>();
  queue.add("a", numbered("a", 80));
  let held = takeAll(queue, 64).length;
  queue.claimed("a", true);
  while (queue.ready("heavy") === 0) queue.ended("a", 64 - --held);
  assert.equal(queue.ready("light"), 0);
});
