import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { checkHeaders, isReservedHeader } from "../../src/headers.ts";

const reserved = [
  "connection", "content-length", "content-type", "cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive",
  "metadata", "metadata-flavor", "proxy-authorization", "proxy-connection", "te", "traceparent", "tracestate", "trailer",
  "transfer-encoding", "upgrade", "via", "webhook-id", "webhook-signature", "webhook-timestamp", "webhook-anything",
  "x-aliyun-ecs-metadata-token", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds", "x-forwarded",
  "x-forwarded-for", "x-forwarded-host", "x-google-metadata-request", "x-real-ip", "ce-id", "ce-specversion", "__proto__",
]; // biome-ignore format: a table

const reasonFor = (headers: Record<string, string>): string | undefined => {
  const verdict = checkHeaders(headers);
  return verdict.ok ? undefined : verdict.reason;
};
const one = (name: string, value: string): Record<string, string> => Object.fromEntries([[name, value]]);

test("reserved headers are refused in any case", () => {
  for (const name of reserved) {
    for (const spelling of [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())]) {
      assert.equal(isReservedHeader(spelling), true, spelling);
      assert.deepEqual(checkHeaders(one(spelling, "1")), { ok: false, name: spelling, reason: "the name is reserved" });
    }
  }
});

test("ordinary headers are allowed", () => {
  const names = [
    "Authorization",
    "X-Api-Key",
    "User-Agent",
    "X-Webhook-Id",
    "Certificate",
    "Webhooks",
    "Teapot",
    "Hosts",
    "constructor",
  ];
  for (const name of names) assert.deepEqual(checkHeaders(one(name, "Bearer abc~ !")), { ok: true }, name);
  assert.deepEqual(checkHeaders({}), { ok: true });
});

test("a name that is not a token is refused", () => {
  for (const name of ["", " ", "a b", "a:", "a\n", "a\0", "é", "a(b)", "a/b", "a,b", "ｈost"]) {
    assert.match(reasonFor(one(name, "1")) ?? "", /token/, JSON.stringify(name));
  }
});

test("a value that is not printable ASCII is refused", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      const printable = [...value].every((character) => character >= " " && character <= "~");
      return checkHeaders({ "x-a": value }).ok === printable;
    }),
  );
  for (const value of ["a\r\nx: y", "a\n", "\0", "\x7f", "é", "\t"])
    assert.match(reasonFor({ "x-a": value }) ?? "", /ASCII/);
});

test("a header twice in different case is refused", () => {
  assert.match(reasonFor({ "X-A": "1", "x-a": "2" }) ?? "", /twice/);
});

test("count and sizes are limited", () => {
  const many = (count: number, size: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`.padEnd(4, "_"), "v".repeat(size)]));
  assert.equal(checkHeaders(many(32, 1)).ok, true);
  assert.match(reasonFor(many(33, 1)) ?? "", /more than 32/);
  assert.equal(checkHeaders(many(1, 4_092)).ok, true);
  assert.match(reasonFor(many(1, 4_093)) ?? "", /longer than 4096/);
  assert.equal(checkHeaders(many(4, 4_092)).ok, true);
  assert.match(reasonFor({ ...many(4, 4_092), y: "" }) ?? "", /all headers exceed 16384/);
});

test("an object without a prototype is read like any other", () => {
  const headers: Record<string, string> = Object.create(null);
  headers["x-a"] = "1";
  assert.deepEqual(checkHeaders(headers), { ok: true });
  headers.Host = "internal";
  assert.deepEqual(checkHeaders(headers), { ok: false, name: "Host", reason: "the name is reserved" });
});
