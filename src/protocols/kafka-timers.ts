/**
 * kafkajs 2.2.4 arms a timer of a negative delay for each connection, and again whenever it fires: a thousand times a
 * second, for nothing, and Node 24 warns of it. Here a queue arms it only while requests wait for it.
 */
import type { Kafka } from "kafkajs";

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests: () => void;
}

interface Cluster {
  readonly connectionPoolBuilder: {
    build: (broker?: unknown) => Promise<{ readonly pool: readonly { readonly requestQueue: RequestQueue }[] }>;
  };
}

const calm = (queue: RequestQueue): void => {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
};

/** Corrects the timers of the connections of one Kafka client; leaves a kafkajs of other insides as it is. */
export const calmTimers = (kafka: Kafka): void => {
  const name = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === "private:Kafka:createCluster",
  );
  const insides = kafka as unknown as Record<symbol, (options: unknown) => Cluster>;
  const create = name && insides[name];
  if (name === undefined || create === undefined) return;
  insides[name] = (options) => {
    const cluster = create(options);
    const { connectionPoolBuilder } = cluster;
    const build = connectionPoolBuilder.build.bind(connectionPoolBuilder);
    connectionPoolBuilder.build = async (broker) => {
      const connections = await build(broker);
      for (const { requestQueue } of connections.pool) calm(requestQueue);
      return connections;
    };
    return cluster;
  };
};
