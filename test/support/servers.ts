/**
 * The servers of docker-compose.yml that the contract of destination types is tested against, each in a file of
 * test/servers/. Any other of its kind does as well, when its variable has the address.
 */

/** A server of a destination type, known by its address alone. */
export interface ContractServer {
  readonly type: string;
  /** In docker-compose.yml. */
  readonly service: string;
  /** The environment variable that names another. */
  readonly variable: string;
  /** Of the service. */
  readonly address: string;
}

export const contractServers: readonly ContractServer[] = [
  { type: "kafka", service: "kafka", variable: "POSTRIDER_TEST_KAFKA", address: "kafka://127.0.0.1:29092" },
  {
    type: "rabbitmq",
    service: "rabbitmq",
    variable: "POSTRIDER_TEST_RABBITMQ",
    address: "amqp://postrider:postrider@127.0.0.1:25673",
  },
  { type: "sqs", service: "aws", variable: "POSTRIDER_TEST_SQS", address: "http://127.0.0.1:24566" },
  // Its rules bring events to queues of the sqs above: one emulator has both.
  { type: "eventbridge", service: "aws", variable: "POSTRIDER_TEST_EVENTBRIDGE", address: "http://127.0.0.1:24566" },
  { type: "pubsub", service: "pubsub", variable: "POSTRIDER_TEST_PUBSUB", address: "http://127.0.0.1:28085" },
];

/** The file that tests the contract of a type against a server. */
export const contractFile = (type: string): string => `test/servers/${type}.ts`;

/** Where the environment says that the server of a type is. */
export const addressOf = (type: string): URL => {
  const { variable = "", address = "" } = contractServers.find((server) => server.type === type) ?? {};
  const given = process.env[variable];
  if (given === undefined || !URL.canParse(given)) throw new Error(`Set ${variable} to an address such as ${address}`);
  return new URL(given);
};
