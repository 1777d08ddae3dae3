/** The contract of all types, for rabbitmq, against the RabbitMQ of the environment. */
import { connect } from "amqplib";
import { destination as rabbitmq } from "../../src/destinations/rabbitmq.ts";
import { openRabbitmq } from "../support/broker_tests.ts";
import { testDestination } from "../support/contract.ts";
import { addressOf } from "../support/servers.ts";

const address = addressOf("rabbitmq");

testDestination(rabbitmq, () => openRabbitmq({ client: () => connect(address.href) }, address));
