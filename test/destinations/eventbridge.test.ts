/** What events look like on an EventBridge bus, and the contract of all types. */
import { destination as eventbridge } from "../../src/destinations/eventbridge.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { testDestination } from "../support/contract.ts";
import { startEventBridge } from "../support/eventbridge.ts";
import { startForwarder } from "../support/forwarder.ts";
import { accessKeys, region, scopeOf } from "../support/sigv4.ts";

testDestination(eventbridge, async () => {
  const server = await startEventBridge(scopeOf("events"));
  const config = { event_bus_name: "orders", endpoint: server.receiver.url, region };
  return {
    config,
    secrets: accessKeys,
    next: async () => {
      const { Detail = "", DetailType = "" } = await server.events.next();
      const { id } = JSON.parse(Detail) as { readonly id: string };
      const payload = Detail.slice(Detail.indexOf('"data":') + '"data":'.length, -1);
      return { payload, id, topic: DetailType };
    },
    openConnections: server.openConnections,
    forward: () => startForwarder(server.receiver.port),
    configAt: (port) => ({ ...config, endpoint: `http://127.0.0.1:${port}` }),
    badConfigs: badConfigs.eventbridge(config),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
