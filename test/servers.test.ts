/** The contract against servers that are known by their addresses alone, and the command that brings such servers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { destination as kafka } from "../src/destinations/kafka.ts";
import { startProgram } from "./support/command.ts";
import { openDestination } from "./support/contract.ts";
import { startEventRules } from "./support/event_rules.ts";
import { startEventBridge } from "./support/eventbridge.ts";
import { startKafka } from "./support/kafka/broker.ts";
import { startKafkaForwarder } from "./support/kafka/forwarder.ts";
import { startPubsub } from "./support/pubsub.ts";
import { brokerMissing, startBroker } from "./support/rabbitmq.ts";
import { root, temporaryFolder } from "./support/readme.ts";
import { contractServers } from "./support/servers.ts";
import { scopeOf } from "./support/sigv4.ts";
import { startSqs } from "./support/sqs.ts";

/** Tests of the contract, for each type. */
const contractTests = 10;
const services = "kafka rabbitmq aws pubsub";

/** Where RabbitMQ is not installed, and need not be, it is left out. */
const startRabbitmq = async (started: AsyncDisposableStack): Promise<Record<string, string>> => {
  if (brokerMissing !== undefined && process.env.CI !== "true") return {};
  const { port } = started.use(await startBroker());
  return { POSTRIDER_TEST_RABBITMQ: `amqp://guest:guest@127.0.0.1:${port}` };
};

test("every contract is kept with servers that are known by their addresses alone", async () => {
  await using started = new AsyncDisposableStack();
  const rabbitmq = await startRabbitmq(started);
  const broker = started.use(await startKafka({ topics: {} }));
  const pubsub = started.use(await startPubsub());
  const sqs = started.use(await startSqs([]));
  const bus = started.use(await startEventBridge(scopeOf("events"), startEventRules(sqs.put)));
  const env = {
    ...rabbitmq,
    POSTRIDER_TEST_KAFKA: `kafka://${broker.address}`,
    POSTRIDER_TEST_SQS: sqs.receiver.url,
    POSTRIDER_TEST_EVENTBRIDGE: bus.receiver.url,
    POSTRIDER_TEST_PUBSUB: `http://127.0.0.1:${pubsub.port}`,
  };
  await using program = startProgram("npm", ["run", "test:servers"], { cwd: root, env });
  const { code, stdout, stderr } = await program.ended;
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, new RegExp(`^ℹ pass ${contractTests * Object.keys(env).length}$`, "m"));
});

test("a client that a broker sends to its own address comes through the forwarder again", async () => {
  await using broker = await startKafka({ topics: { orders: 3 } });
  await using forwarder = await startKafkaForwarder("127.0.0.1", broker.port);
  const config = { brokers: [`127.0.0.1:${forwarder.port}`], topic: "orders", tls: false };
  await using destination = await openDestination(kafka, config);
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(broker.connections, forwarder.open.size);
});

/** The command, where no variable names a server and programs are looked for in this path. */
const startTests = (path: string) =>
  startProgram(process.execPath, [join(root, "test/support/test-servers.ts")], { cwd: root, env: { PATH: path } });

test("without Docker and without a server the command says what to do", async () => {
  await using folder = await temporaryFolder();
  await using program = startTests(folder.path);
  const { code, stderr } = await program.ended;
  assert.equal(code, 1);
  assert.match(stderr, /^Docker is not installed.* set POSTRIDER_TEST_KAFKA, POSTRIDER_TEST_RABBITMQ, /);
});

/** A program in Docker's place, which writes what it is asked for and does this when the servers shall start. */
const folderWithDocker = async (up: string) => {
  const folder = await temporaryFolder();
  const script = `#!/bin/sh\necho "$@"\ncase "$*" in *" up "*) ${up} ;; esac\n`;
  await writeFile(join(folder.path, "docker"), script, { mode: 0o755 });
  return folder;
};

const up = `compose --profile servers up --detach --wait ${services}`;
const logs = `compose --profile servers logs --tail=20 ${services}`;
const remove = `compose --profile servers rm --stop --force --volumes ${services}`;

test("servers that do not start are asked for their logs and removed, and the command fails", async () => {
  await using folder = await folderWithDocker("exit 7");
  await using program = startTests(`${folder.path}:/usr/bin:/bin`);
  const { code, stdout } = await program.ended;
  assert.deepEqual([code, stdout.trim().split("\n")], [7, [up, logs, remove]]);
});

test("servers are removed when the command is interrupted", async () => {
  await using folder = await folderWithDocker("exec tail -f /dev/null");
  await using program = startTests(`${folder.path}:/usr/bin:/bin`);
  await program.until(/ up /);
  program.child.kill("SIGINT");
  const { code, stdout } = await program.ended;
  assert.deepEqual([code, stdout.trim().split("\n").at(-1)], [130, remove]);
});

const compose = readFileSync(join(root, "docker-compose.yml"), "utf8");
/** What docker-compose.yml says of each service. */
const blocks = new Map(
  [...compose.matchAll(/^ {2}(\w+):\n((?: {4}.*\n|\n)+)/gm)].map(([, name = "", block = ""]) => [name, block]),
);

test("docker-compose.yml has each server of the tests, at its address on this machine only", () => {
  for (const { service, address } of contractServers) {
    const { port, username, password } = new URL(address);
    const block = blocks.get(service) ?? "";
    assert.match(block, /^ {4}image: \S+:\d+\.\d+\.\d+[\w-]*(?: #.*)?$/m, service);
    assert.deepEqual(
      [...block.matchAll(/^ {6}- "(.+):\d+"/gm)].map(([, at]) => at),
      [`127.0.0.1:${port}`],
    );
    assert.match(block, /^ {4}healthcheck:/m, service);
    if (service === "rabbitmq") assert.ok(block.includes(`DEFAULT_USER: ${username}\n`));
    if (service === "rabbitmq") assert.ok(block.includes(`DEFAULT_PASS: ${password}\n`));
    if (service === "kafka") assert.ok(block.includes(`ADVERTISED_LISTENERS: PLAINTEXT://127.0.0.1:${port}\n`));
  }
});

test("docker-compose.yml starts the servers of the tests with their profile, and nothing else", () => {
  const withProfile = [...blocks].filter(([, block]) => block.includes("profiles: [servers]\n"));
  assert.equal(withProfile.map(([name]) => name).join(" "), services);
});
