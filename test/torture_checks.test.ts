/** The checks of the torture, shown to fail: each violation is planted, and exactly its check turns red. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failedWith } from "./support/hand_worker.ts";
import { createChecker } from "./torture/checks/checks.ts";
import {
  forgetJobs,
  type Plant,
  playWell,
  produceFor,
  secret,
  sendTwice,
  storeSecret,
} from "./torture/checks/planting.ts";
import { plantsOfArrivals } from "./torture/checks/plants_of_arrivals.ts";
import { plantsOfDeliveries } from "./torture/checks/plants_of_deliveries.ts";
import { openScene, type Scene } from "./torture/checks/scene.ts";
import { spellingsOf } from "./torture/checks/spellings.ts";
import { candidatesOf } from "./torture/checks/wanted.ts";
import type { CheckName } from "./torture/stage.ts";

const plants: Readonly<Record<CheckName, readonly Plant[]>> = { ...plantsOfDeliveries, ...plantsOfArrivals };

const redOf = (violations: Awaited<ReturnType<ReturnType<typeof createChecker>["atRest"]>>): readonly string[] => [
  ...new Set(violations.map(({ check }) => check)),
];

for (const [check, ofCheck] of Object.entries(plants)) {
  for (const { what, isSeenRunning = false, plant } of ofCheck) {
    test(`${check}: ${what}`, async () => {
      await using scene = await openScene();
      await playWell(scene);
      await plant(scene);
      const checker = createChecker(scene.input);
      const running = await checker.running();
      assert.deepEqual(redOf(running), isSeenRunning ? [check] : [], JSON.stringify(running, undefined, 1));
      const atRest = await checker.atRest();
      assert.deepEqual(redOf(atRest), [check], JSON.stringify(atRest, undefined, 1));
      assert.deepEqual(redOf(await checker.atRest()), [check], "what was found is found again");
    });
  }
}

const assertGreen = async ({ input }: Scene): Promise<ReturnType<typeof createChecker>> => {
  const checker = createChecker(input);
  assert.deepEqual(await checker.running(), []);
  assert.deepEqual(await checker.atRest(), []);
  return checker;
};

test("a run that holds every promise is green, and has its figures", async () => {
  await using scene = await openScene();
  scene.secrets.push(secret);
  await playWell(scene);
  const checker = await assertGreen(scene);
  const { duplicatesByCause, ...figures } = checker.figures();
  assert.deepEqual(figures, { events: 10, acknowledged: 7, arrivals: 25, duplicates: 0 });
  assert.deepEqual(duplicatesByCause, {});
});

for (const [code, cause] of [
  ["timeout", "retry timeout"],
  ["reset", "retry reset"],
]) {
  test(`an event may arrive again beside an attempt that ended in ${code}`, async () => {
    await using scene = await openScene();
    await sendTwice(scene, String(code));
    const checker = await assertGreen(scene);
    assert.equal(checker.figures().duplicates, 1);
    assert.deepEqual(checker.figures().duplicatesByCause, { [String(cause)]: 1 });
  });
}

test("an event may arrive again when its worker was lost, and when a person asks for it", async () => {
  await using scene = await openScene();
  const event = await produceFor(scene, "acme-all", { tenant: "acme", topic: "order.sent" });
  await scene.worker.claim();
  scene.arrive(event, "acme-all");
  await scene.db.query("update outbox.deliveries set claimed_by = gen_random_uuid() where claimed_by is not null");
  await scene.deliver();
  await scene.db.query("select outbox.redrive($1, statuses => '{delivered}', actor => 'a person')", [event.id]);
  await scene.deliver();
  // Its delivery to the queue was taken away above: only this sink is looked at.
  const sinks = { ...scene.input.sinks, all: [scene.sink("acme-all")] };
  const checker = createChecker({ ...scene.input, sinks });
  assert.deepEqual(await checker.atRest(), []);
  assert.deepEqual(checker.figures().duplicatesByCause, { "unknown worker_lost": 1, "redrive delivered": 1 });
});

test("what arrives again out of order is no disorder", async () => {
  await using scene = await openScene();
  const first = await scene.produce({ key: "b", n: 1 });
  const claimed = await scene.worker.claim();
  for (const name of ["acme-all", "acme-large", "acme-ordered", "acme-queue"]) scene.arrive(first, name);
  await scene.worker.record(claimed, failedWith("timeout"));
  await scene.db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");
  await scene.produce({ key: "b", n: 2 });
  await scene.deliver();
  await assertGreen(scene);
});

test("a repetition is judged when it comes, whatever was read before", async () => {
  await using scene = await openScene();
  const event = await scene.produce();
  await scene.deliver();
  const checker = createChecker(scene.input);
  assert.deepEqual(await checker.running(), []);
  scene.arrive(event, "acme-all");
  assert.deepEqual(redOf(await checker.running()), ["evidence"]);
  assert.deepEqual(await checker.running(), [], "what was told is not told again");
});

test("an attempt under way is evidence of its arrival", async () => {
  await using scene = await openScene();
  const event = await scene.produce();
  await scene.worker.claim();
  scene.arrive(event, "acme-all");
  assert.deepEqual(await createChecker(scene.input).running(), []);
});

test("while faults go on, limbo is what lasts although a worker lives", async () => {
  await using scene = await openScene();
  await scene.produce();
  await forgetJobs(scene);
  let seconds = 0;
  const checker = createChecker(scene.input, () => seconds * 1_000);
  const look = async (until: number): Promise<readonly string[]> => {
    const red: string[] = [];
    for (; seconds < until; seconds += 10) red.push(...redOf(await checker.running()));
    return red;
  };
  const beat = (ago: string) => scene.db.query("update outbox.workers set heartbeat_at = now() - $1::interval", [ago]);
  await beat("1 hour");
  assert.deepEqual(await look(300), [], "nobody lives who could find it");
  await beat("0");
  assert.deepEqual(await look(380), []);
  assert.deepEqual(await look(410), ["limbo", "limbo"]);
});

test("a secret may be plain until a worker has had the time to seal it", async () => {
  await using scene = await openScene();
  await storeSecret(scene, "10 s");
  const looked = createChecker(scene.input).atRest();
  await scene.db.query("update outbox.destination_secrets set value = null, sealed = 'sealed', key_id = 'k1'");
  assert.deepEqual(await looked, []);
});

test("the first twenty violations of a check are listed, the others counted", async () => {
  await using scene = await openScene();
  for (let n = 0; n < 25; n++) await scene.produce({ isStored: false });
  const violations = await createChecker(scene.input).atRest();
  assert.equal(violations.length, 21);
  assert.deepEqual(violations.at(-1), { check: "loss", what: "and 5 more" });
});

test("topics are matched as the engine says it does", async () => {
  await using scene = await openScene();
  for (const topic of ["order", "order.paid", "order.paid.late.again"]) {
    const row = await scene.db.one("select outbox.topic_candidates($1) as candidates", [topic]);
    assert.deepEqual([...candidatesOf(topic)].sort(), row.candidates.sort());
  }
});

test("a secret is recognised wherever it stands in base64", () => {
  for (const before of ["", "a", "ab", "abc"]) {
    for (const after of ["", "d", "de"]) {
      const spelled = Buffer.from(before + secret + after).toString("base64");
      assert.ok(
        spellingsOf(secret).some((spelling) => spelled.includes(spelling)),
        spelled,
      );
    }
  }
});
