/** How fast Postrider is back: a destination that nothing disturbs, and events for it that are timed. */
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Stage } from "./stage.ts";

export interface Probe extends AsyncDisposable {
  /** Commits an event now, and resolves with the milliseconds until it arrives. Rejects after the limit. */
  readonly arrivesAfterMs: (limitMs: number) => Promise<number>;
}

const publicAddress = "93.184.215.1";

/** Opens a receiver in this process and makes its destination. */
export const openProbe = async ({ admin, isNetworkPrivate }: Stage): Promise<Probe> => {
  const arrived = new Set<string>();
  const arrivals = new EventEmitter();
  const server = createServer((request, response) => {
    arrived.add(String(request.headers["webhook-id"]));
    request.resume().once("end", () => response.end());
    arrivals.emit("arrival");
  });
  server.listen(0, isNetworkPrivate ? publicAddress : "127.0.0.1");
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  await admin.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), tenant_id => 'probe', topics => '{probe.sent}',
       policy => '{"exponential": {"base_seconds": 0.5, "factor": 1, "cap_seconds": 0.5, "attempts": 100}}')`,
    [`http://${address}:${port}/`],
  );
  return {
    arrivesAfterMs: async (limitMs) => {
      const startedAt = performance.now();
      const signal = AbortSignal.timeout(limitMs);
      const [event] = await admin.query<{ id: string }>(
        "insert into outbox.events (tenant_id, topic, payload) values ('probe', 'probe.sent', '{}') returning id",
      );
      while (!arrived.has(String(event?.id))) await once(arrivals, "arrival", { signal });
      return performance.now() - startedAt;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
