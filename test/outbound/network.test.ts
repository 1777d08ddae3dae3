/** The guard over real sockets: every address of the internet is this machine, and a listener counts who comes. */
import { strict as assert } from "node:assert";
import { execFile, spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { LabReport } from "./lab.ts";
import { forbiddenIpv4, forbiddenIpv6, publicIpv4, publicIpv6 } from "./spellings.ts";

const everythingIsLocal =
  "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo";
const unshare = process.getuid?.() === 0 ? ["-n"] : ["-rn"];
const works = spawnSync("unshare", [...unshare, "sh", "-c", everythingIsLocal]).status === 0;
const skip = works ? false : "needs Linux with unshare and iproute2, and leave to create a network namespace";

const lab = async (): Promise<LabReport> => {
  const script = fileURLToPath(new URL("lab.ts", import.meta.url));
  const command = [...unshare, "sh", "-c", `${everythingIsLocal} && exec "$0" "$1"`, process.execPath, script];
  const { stdout } = await promisify(execFile)("unshare", command, { maxBuffer: 16 * 1024 * 1024, timeout: 120_000 });
  return JSON.parse(stdout) as LabReport;
};

test("over real sockets", { skip }, async (t) => {
  const report = await lab();
  const publicAddresses = [...publicIpv4, ...publicIpv6];

  await t.test("without the guard the spellings do reach forbidden addresses", () => {
    const reached = Object.keys(report.unguarded);
    for (const address of ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1", "168.63.129.16", "64:ff9b:1::7f00:1"]) {
      assert.ok(reached.includes(address), `${address} was not reached, so the lab proves nothing`);
    }
    assert.ok(reached.length > (forbiddenIpv4.length + forbiddenIpv6.length) / 2);
    assert.deepEqual(
      reached.filter((address) => publicAddresses.includes(address)),
      [],
    );
  });

  await t.test("no spelling makes the guard open a connection to a forbidden address", () => {
    assert.deepEqual(report.guarded, {});
  });

  await t.test("every spelling is refused at creation and at each dial", () => {
    assert.deepEqual(report.notRefused, []);
  });

  await t.test("public addresses right next to forbidden networks are delivered to", () => {
    assert.deepEqual(report.notReached, []);
    assert.deepEqual(new Set(Object.keys(report.publicReached)), new Set(publicAddresses));
  });

  await t.test("a name that changes to a private address after the check is not connected to", () => {
    assert.deepEqual(report.rebinding, ["allowed", "blocked_address"]);
  });

  await t.test("a name is refused when any of its addresses, also behind a CNAME, is forbidden", () => {
    const { "public.test": plain, "public-cname.test": alias, ...others } = report.names;
    assert.deepEqual([plain, alias], ["allowed, status 200", "allowed, status 200"]);
    assert.deepEqual([...new Set(Object.values(others))], ["refused"]);
    assert.deepEqual(report.nameHits, { "1.1.1.1": 1, "93.184.216.34": 1 });
  });

  await t.test("ports of other protocols are closed to HTTP only", () => {
    assert.deepEqual(report.otherPort, ["refused", "connect"]);
  });

  await t.test("a connection that ends up at a forbidden address is destroyed before the first byte", () => {
    assert.deepEqual(report.afterConnect, { outcome: "blocked_address", peer: "127.0.0.1", bytes: 0 });
  });
});
