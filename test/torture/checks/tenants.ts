/** Tenants are never mixed: no sink sees an event of another tenant. */
import type { Arrival } from "./books.ts";
import { isOfTenant } from "./wanted.ts";

export const strayIn = ({ arrived: { id, event }, sink }: Arrival): string | undefined =>
  event !== undefined && !isOfTenant(sink, event.intended)
    ? `${id} (${event.intended.mark}) of ${event.intended.tenant} arrived at ${sink.name} of ${sink.tenant}`
    : undefined;
