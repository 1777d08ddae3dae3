import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseAllowedNetworks } from "../../src/addresses.ts";
import { createDialler, type Dialler } from "../../src/outbound.ts";
import { forbiddenNames, forbiddenUrls, publicIpv4, publicIpv6 } from "./spellings.ts";

const dialler = (networks = "", allowHttp = false): Dialler =>
  createDialler({ allowHttp, allowedNetworks: parseAllowedNetworks(networks) });
const reasonFor = (text: string, guard = dialler()): string | undefined => {
  const verdict = guard.checkSyntax(new URL(text));
  return verdict.kind === "forbidden" ? verdict.reason : undefined;
};

test("hundreds of spellings of forbidden addresses are refused without asking DNS", () => {
  const urls = forbiddenUrls(8080).filter((text) => URL.canParse(text));
  assert.ok(urls.length > 1_000);
  const guard = dialler("", true);
  const passed = urls.filter((text) => guard.checkSyntax(new URL(text)).kind === "allowed");
  assert.deepEqual(passed, []);
});

test("public addresses and names are allowed", () => {
  for (const address of publicIpv4) assert.equal(reasonFor(`https://${address}/`), undefined, address);
  for (const address of publicIpv6) assert.equal(reasonFor(`https://[${address}]/`), undefined, address);
  assert.equal(reasonFor("https://[::ffff:1.1.1.1]/"), undefined);
  const names = [
    "example.com",
    "example.com.",
    "EXAMPLE.com",
    "a.b.c.example.co.uk",
    "xn--bcher-kva.example",
    "bücher.example",
    "a_b.example.com",
    "0x7f.com",
    "local.example.com",
    "1.2.3.4.example.com",
    "internal.io",
  ];
  for (const name of names) assert.equal(reasonFor(`https://${name}/hook?x=1`), undefined, name);
});

test("names of private networks and names that are none are refused", () => {
  for (const name of forbiddenNames) {
    const text = `https://${name}/`;
    if (URL.canParse(text)) assert.notEqual(reasonFor(text), undefined, name);
  }
});

test("only https is allowed, and http where the operator says so", () => {
  assert.match(reasonFor("http://example.com/") ?? "", /must start with https:\/\//);
  assert.equal(reasonFor("http://example.com/", dialler("", true)), undefined);
  for (const scheme of [
    "ftp",
    "file",
    "gopher",
    "ws",
    "wss",
    "data",
    "javascript",
    "unix",
    "http+unix",
    "blob",
    "amqps",
  ]) {
    assert.match(reasonFor(`${scheme}://example.com/`, dialler("", true)) ?? "", /must start with/, scheme);
  }
});

test("a destination of another protocol names the schemes that it takes", () => {
  const guard = dialler();
  assert.equal(guard.checkSyntax(new URL("amqps://mq.example.com:5671"), ["amqps:"]).kind, "allowed");
  for (const host of [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "①②⑦.⓪.⓪.①",
    "[::1]",
    "localhost",
    "mq.local",
    "LOCALHOST",
  ]) {
    assert.equal(guard.checkSyntax(new URL(`amqps://${host}:5671`), ["amqps:"]).kind, "forbidden", host);
  }
});

test("user names, passwords, fragments and long URLs are refused", () => {
  assert.match(reasonFor("https://user@example.com/") ?? "", /user name or password/);
  assert.match(reasonFor("https://:secret@example.com/") ?? "", /user name or password/);
  assert.match(reasonFor("https://example.com/#x") ?? "", /fragment/);
  assert.match(reasonFor("https://example.com/#") ?? "", /fragment/);
  const base = "https://example.com/";
  assert.equal(reasonFor(base + "a".repeat(2_048 - base.length)), undefined);
  assert.match(reasonFor(base + "a".repeat(2_049 - base.length)) ?? "", /longer than 2048/);
});

test("ports of other protocols are refused unless the operator opened the network", () => {
  const refused = [1, 21, 22, 23, 25, 110, 139, 143, 445, 587, 1023, 2375, 3306, 5432, 6379, 9200, 11_211, 27_017];
  for (const port of refused) {
    assert.match(reasonFor(`https://example.com:${port}/`) ?? "", /is not for HTTP/, `${port}`);
    assert.match(reasonFor(`https://1.1.1.1:${port}/`) ?? "", /is not for HTTP/, `${port}`);
    assert.match(reasonFor(`https://1.1.1.1:${port}/`, dialler("10.0.0.0/8")) ?? "", /is not for HTTP/, `${port}`);
    assert.equal(reasonFor(`https://10.0.0.1:${port}/`, dialler("10.0.0.0/8")), undefined, `${port}`);
    assert.equal(reasonFor(`https://10.0.0.1:${port}/`, dialler(`10.0.0.0/8:${port}`)), undefined, `${port}`);
    assert.notEqual(reasonFor(`https://10.0.0.1:${port}/`, dialler("10.0.0.0/8:8080")), undefined, `${port}`);
  }
  for (const port of [80, 443, 1024, 3000, 8080, 8443, 65_535])
    assert.equal(reasonFor(`https://example.com:${port}/`), undefined);
});

test("localhost is this machine, and allowed when the operator opened the loopback network", () => {
  for (const host of ["localhost", "LOCALHOST", "localhost."]) {
    assert.match(reasonFor(`https://${host}/`) ?? "", /POSTRIDER_ALLOW_NETWORKS/);
    assert.match(reasonFor(`https://${host}/`, dialler("10.0.0.0/8")) ?? "", /POSTRIDER_ALLOW_NETWORKS/);
    assert.equal(reasonFor(`https://${host}/`, dialler("127.0.0.0/8")), undefined);
    assert.equal(reasonFor(`https://${host}:9000/`, dialler("[::1]/128:9000")), undefined);
    assert.notEqual(reasonFor(`https://${host}:9001/`, dialler("[::1]/128:9000")), undefined);
  }
});
