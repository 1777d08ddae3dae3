/** What a person reads of an event, whichever type brings it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cut, layOut, noticeOf, plainText } from "../src/notice.ts";
import { alertMessage, alertOf } from "./support/alert_message.ts";
import { messageOf } from "./support/contract.ts";

test("laying out changes nothing but the white space between tokens", () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 0, 1, 3), (json, space) => {
      const written = JSON.stringify(JSON.parse(json), undefined, space);
      assert.equal(layOut(written, Number.MAX_SAFE_INTEGER), JSON.stringify(JSON.parse(json), undefined, 2));
    }),
  );
});

test("numbers keep their digits, strings their spelling, and a name that comes twice is there twice", () => {
  const laidOut = layOut(' {"a":1.10,"a" : 12345678901234567890,"b":["\\u00e9 , {x}\\"", -0.0, 1e2]} ', 1_000);
  assert.equal(
    laidOut,
    '{\n  "a": 1.10,\n  "a": 12345678901234567890,\n  "b": [\n    "\\u00e9 , {x}\\"",\n    -0.0,\n    1e2\n  ]\n}',
  );
});

test("the longest payload is laid out, and cut where it has to be", () => {
  const json = JSON.stringify({ text: "\\😀".repeat(250_000) });
  assert.equal(layOut(json, Number.MAX_SAFE_INTEGER).length, json.length + "\n  ".length + " \n".length);
  for (const lengthMax of [100, 101, 102, 103]) {
    const laidOut = layOut(json, lengthMax);
    assert.ok(laidOut.length <= lengthMax && laidOut.isWellFormed(), laidOut);
    assert.match(laidOut, /…\n\(cut: the payload has 1000011 characters\)$/);
  }
});

test("what fits is not cut, and no character is cut in half", () => {
  assert.equal(cut("four", 4), "four");
  assert.equal(cut("fours", 4), "fou…");
  assert.equal(cut("ab😀cd", 4), "ab…");
});

test("an event is told by topic and key, on one line whatever the key holds", () => {
  const { title, facts } = noticeOf(messageOf({ key: "A\r\nEvent: forged\u2028x\u0000" }), 1_000);
  assert.equal(title, "order.paid: A Event: forged x");
  assert.deepEqual(facts[3], ["Key", "A Event: forged x"]);
});

test("an alert that leaves things open is told without them", () => {
  const open = { destination: null, destination_type: null, since: null, count: null, last_error: null, redrive: null };
  const notice = noticeOf(messageOf(alertMessage({ ...open, look: "" })), 1_000);
  assert.deepEqual([notice.facts.map(([label]) => label), notice.listings], [["Tenant", "Topic", "Event"], []]);
  assert.match(plainText(notice), /^ERP does not answer\n\nThe last 10 attempts .*\n\nTenant: acme\n/);
});

test("an alert that was not written by Postrider, or not as we know it, is told as any event", () => {
  const payload = JSON.stringify(alertOf());
  assert.equal(noticeOf(messageOf({ topic: "order.paid", payload }), 1_000).alert, undefined);
  for (const broken of [{ state: "perhaps" }, { severity: 1 }, { title: "" }, { dedup_key: undefined }]) {
    const notice = noticeOf(messageOf(alertMessage(broken)), 10_000);
    assert.equal(notice.alert, undefined);
    assert.equal(notice.listings[0]?.[0], "Payload");
  }
  assert.equal(noticeOf(messageOf({ ...alertMessage(), payload: "null" }), 1_000).alert, undefined);
});
