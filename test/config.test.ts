import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../src/config.ts";
import { PostriderError } from "../src/errors.ts";

const keys = `k1:${Buffer.alloc(32, 1).toString("base64")}`;

test("without any variable there are defaults", () => {
  assert.deepEqual(readConfig({}), {
    databaseUrl: undefined,
    keys: [],
    allowHttp: false,
    allowAssumeRole: false,
    allowedNetworks: [],
    dnsServers: [],
    inFlightMax: 680,
    retentionDays: 30,
    logLevel: "info",
  });
});

test("each variable is read", () => {
  const config = readConfig({
    DATABASE_URL: "postgres://db/shop",
    POSTRIDER_KEYS: keys,
    POSTRIDER_ALLOW_HTTP: "true",
    POSTRIDER_ALLOW_ASSUME_ROLE: "1",
    POSTRIDER_ALLOW_NETWORKS: "10.0.0.0/8",
    POSTRIDER_DNS_SERVERS: "10.0.0.2, [::1]:5353",
    POSTRIDER_IN_FLIGHT: "12",
    POSTRIDER_RETENTION_DAYS: "7",
    POSTRIDER_LOG_LEVEL: "debug",
  });
  const { databaseUrl, allowHttp, allowAssumeRole, dnsServers, inFlightMax, retentionDays, logLevel } = config;
  assert.deepEqual(
    { databaseUrl, allowHttp, allowAssumeRole, dnsServers, inFlightMax, retentionDays, logLevel },
    {
      databaseUrl: "postgres://db/shop",
      allowHttp: true,
      allowAssumeRole: true,
      dnsServers: ["10.0.0.2", "[::1]:5353"],
      inFlightMax: 12,
      retentionDays: 7,
      logLevel: "debug",
    },
  );
  assert.deepEqual(
    config.keys.map(({ id }) => id),
    ["k1"],
  );
  assert.equal(config.allowedNetworks.length, 1);
});

test("flags know true and false, in words and figures, and nothing else", () => {
  const read = (value: string) => readConfig({ POSTRIDER_ALLOW_HTTP: value }).allowHttp;
  assert.deepEqual(["true", "1", "false", "0", ""].map(read), [true, true, false, false, false]);
});

const wrong: readonly (readonly [name: string, value: string])[] = [
  ["POSTRIDER_KEYS", "k1:c2hvcnQ="],
  ["POSTRIDER_ALLOW_HTTP", "yes"],
  ["POSTRIDER_ALLOW_NETWORKS", "10.0.0.0/99"],
  ["POSTRIDER_IN_FLIGHT", "0"],
  ["POSTRIDER_IN_FLIGHT", "many"],
  ["POSTRIDER_IN_FLIGHT", "1.5"],
  ["POSTRIDER_RETENTION_DAYS", "0"],
  ["POSTRIDER_LOG_LEVEL", "loud"],
];

for (const [name, value] of wrong) {
  test(`${name}=${value} is refused by its name`, () => {
    assert.throws(
      () => readConfig({ [name]: value }),
      (error) =>
        error instanceof PostriderError &&
        error.code === "POSTRIDER_CONFIG_INVALID" &&
        error.message.startsWith(`${name}: `),
    );
  });
}

test("a key that is refused is not repeated", () => {
  assert.throws(
    () => readConfig({ POSTRIDER_KEYS: "k1:c2hvcnQ=" }),
    (error: Error) => !error.message.includes("c2hvcnQ"),
  );
});

test("the config cannot be changed", () => {
  assert.ok(Object.isFrozen(readConfig({})));
});
