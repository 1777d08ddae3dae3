/**
 * `npm run test:servers`: the contract of destination types against the servers of docker-compose.yml, which are there as
 * long as the tests run. When a variable of `servers.ts` is set, only servers of the environment are tested, without
 * Docker. Arguments are flags of `node --test`.
 */
import { type ContractServer, contractFile, contractServers } from "./servers.ts";
import { firstSignal, runInTerminal, runTests, type TerminalOptions } from "./terminal.ts";

const services = [...new Set(contractServers.map(({ service }) => service))];
const interrupted = firstSignal();

const testContracts = (servers: readonly ContractServer[]): Promise<number> => {
  const addresses = Object.fromEntries(servers.map(({ variable, address }) => [variable, address]));
  const files = servers.map(({ type }) => contractFile(type));
  return runTests(files, process.argv.slice(2), { env: { ...addresses, ...process.env }, interrupted });
};

const compose = (args: readonly string[], options: TerminalOptions = {}): Promise<number> =>
  runInTerminal("docker", ["compose", "--profile", "servers", ...args, ...services], options);

const testWithDocker = async (): Promise<number> => {
  try {
    const code = await compose(["up", "--detach", "--wait"], { interrupted });
    if (code === 0) return await testContracts(contractServers);
    await compose(["logs", "--tail=20"]);
    return code;
  } finally {
    await compose(["rm", "--stop", "--force", "--volumes"]);
  }
};

try {
  const named = contractServers.filter(({ variable }) => process.env[variable] !== undefined);
  process.exitCode = named.length > 0 ? await testContracts(named) : await testWithDocker();
} catch (error) {
  const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
  const variables = contractServers.map(({ variable }) => variable).join(", ");
  console.error(isMissing ? `Docker is not installed. Servers of your own do as well: set ${variables}` : error);
  process.exitCode = 1;
}
