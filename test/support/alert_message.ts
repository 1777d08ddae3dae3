/** Alerts of ours, as events. */
import type { Message } from "../../src/destination.ts";

/** An alert's payload; a test says what it is about. */
export const alertOf = (given: object = {}) => ({
  alert_id: 17,
  kind: "circuit_opened",
  state: "firing",
  severity: "critical",
  dedup_key: "circuit:01890a5d-ac96-774b-bcce-b302099a8050",
  tenant_id: "acme",
  destination_id: "01890a5d-ac96-774b-bcce-b302099a8050",
  destination: "ERP",
  destination_type: "webhook",
  since: "2026-01-02T03:00:00Z",
  count: 10,
  title: "ERP does not answer",
  text: "The last 10 attempts failed. Deliveries are held until it answers again.",
  last_error: { code: "connect", message: "could not connect: ECONNREFUSED", remedy: "See whether it listens." },
  look: "select * from outbox.dead_letters where destination = 'ERP';",
  redrive: "select * from outbox.redrive(destination_id => '01890a5d-ac96-774b-bcce-b302099a8050');",
  ...given,
});

/** The event that carries it. */
export const alertMessage = (given: object = {}): Partial<Message> => ({
  topic: `postrider.alert.${alertOf(given).kind}`,
  payload: JSON.stringify(alertOf(given)),
});
