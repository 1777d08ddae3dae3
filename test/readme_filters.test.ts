/** What the README says of filters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "./support/database.ts";
import { filterTruth } from "./support/filter_truth.ts";
import { block, blocks, table } from "./support/readme.ts";
import { refusalOf } from "./support/refusal.ts";

test("the README's filter passes the orders that it describes", async () => {
  const filter = block("json");
  await using db = await testDatabase();
  const passes = async (change: object): Promise<boolean> => {
    const order = { status: "paid", total: 10, customer: { country: "AT" }, variants: [{ price: 5 }, { price: 12 }] };
    const { passes: answer } = await db.one<{ passes: boolean }>(
      "select outbox.filter_matches($1, outbox.compile_filter($2)) as passes",
      [JSON.stringify({ ...order, ...change }), filter],
    );
    return answer;
  };
  const passing = [{}, { coupon: "VIP-1" }, { total: 999.99 }];
  const failing = [{ coupon: "X" }, { total: 1000 }, { variants: [] }, { customer: {} }, { status: "open" }];
  assert.deepEqual(await Promise.all([...passing, ...failing].map(passes)), [
    ...passing.map(() => true),
    ...failing.map(() => false),
  ]);
});

test("a wrong filter is refused in the README's words", async () => {
  const refused = blocks("").find((text) => text.startsWith("ERROR:")) ?? "";
  const [, message, hint] = /^ERROR: {2}(.*)\nHINT: {2}(.*) \.\.\.\n$/.exec(refused) ?? [];
  await using db = await testDatabase();
  const wrong = { variants: { price: { $gtee: 10 } } };
  const refusal = await refusalOf(db.query("select outbox.compile_filter($1)", [JSON.stringify(wrong)]));
  assert.equal(refusal.message, message);
  assert.ok(hint !== undefined && refusal.hint.startsWith(hint), refusal.hint);
});

test("the README's truth table of filters is the one that is tested", () => {
  const printed = table("filter", "payload", "passes", "because");
  const tested = filterTruth.map(([filter, payload, passes, why]) => [
    `\`${filter}\``,
    `\`${payload}\``,
    passes ? "yes" : "no",
    why,
  ]);
  assert.deepEqual(printed, tested);
});
